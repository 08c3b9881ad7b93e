"""FastStream: a message or batch is acknowledged once its keys are gone, and comes again after an error.

`faststream_consumer.py kafka each` takes one message after the other with aiokafka, `… batches` up to 500 at once;
`faststream_consumer.py confluent …` does the same with confluent-kafka. The two differ in the module of the broker.
"""

import asyncio
import importlib
import os
import sys
from typing import Any

import redis.asyncio
from faststream import AckPolicy, FastStream

cache = redis.asyncio.Redis.from_url(os.environ["REDIS_URL"])
broker = importlib.import_module(f"faststream.{sys.argv[1]}").KafkaBroker(os.environ["KAFKA_BOOTSTRAP_SERVERS"])
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
    if sys.argv[2] == "batches":
        broker.subscriber(os.environ["TOPIC"], batch=True, max_records=500, **SAFEST)(evict_all)
    else:
        broker.subscriber(os.environ["TOPIC"], **SAFEST)(evict)
    asyncio.run(FastStream(broker).run())
