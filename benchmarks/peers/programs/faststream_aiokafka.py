"""FastStream on aiokafka: batches, acknowledged once their keys are gone, redelivered after an error."""

import asyncio
import os
from typing import Any

import redis.asyncio
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker

cache = redis.asyncio.Redis.from_url(os.environ["REDIS_URL"])
broker = KafkaBroker(os.environ["KAFKA_BOOTSTRAP_SERVERS"])


@broker.subscriber(
    os.environ["TOPIC"],
    group_id=os.environ["GROUP"],
    auto_offset_reset="earliest",
    ack_policy=AckPolicy.NACK_ON_ERROR,
    batch=True,
    max_records=500,
)
async def evict(changes: list[dict[str, Any]]) -> None:
    await cache.delete(*(f"organization:{change['organizationId']}" for change in changes))


if __name__ == "__main__":
    asyncio.run(FastStream(broker).run())
