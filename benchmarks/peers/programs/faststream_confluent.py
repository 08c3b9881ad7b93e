"""FastStream on confluent-kafka: acknowledged once the keys are gone; what fails comes again.

`faststream_confluent.py each` takes one message after the other, `… batches` up to 500 at once.
"""

import asyncio
import os
import sys
from typing import Any

import redis.asyncio
from faststream import AckPolicy, FastStream
from faststream.confluent import KafkaBroker

cache = redis.asyncio.Redis.from_url(os.environ["REDIS_URL"])
broker = KafkaBroker(os.environ["KAFKA_BOOTSTRAP_SERVERS"])
SAFEST: dict[str, Any] = {
    "group_id": os.environ["GROUP"],
    "auto_offset_reset": "earliest",
    "ack_policy": AckPolicy.NACK_ON_ERROR,
}


async def evict(change: dict[str, Any]) -> None:
    await cache.delete(f"organization:{change['organizationId']}")


async def evict_all(changes: list[dict[str, Any]]) -> None:
    await cache.delete(*(f"organization:{change['organizationId']}" for change in changes))


if __name__ == "__main__":
    if sys.argv[1] == "batches":
        broker.subscriber(os.environ["TOPIC"], batch=True, max_records=500, **SAFEST)(evict_all)
    else:
        broker.subscriber(os.environ["TOPIC"], **SAFEST)(evict)
    asyncio.run(FastStream(broker).run())
