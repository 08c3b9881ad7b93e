"""The control's consumer: deletes what has changed, then says how far it has come."""

import json
import os

import redis
from kafka import KafkaConsumer

if __name__ == "__main__":
    cache = redis.Redis.from_url(os.environ["REDIS_URL"])
    consumer = KafkaConsumer(
        os.environ["ORG_CHANGE_TOPIC"],
        bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"].split(","),
        group_id=f"cache-aside-{os.environ['ORG_CHANGE_TOPIC']}",
        auto_offset_reset="earliest",
        # A killed worker is replaced soon.
        session_timeout_ms=6_000,
        heartbeat_interval_ms=1_000,
    )
    for record in consumer:
        organization_id = json.loads(record.value).get("organizationId")
        if organization_id:
            cache.delete(f"organization:{organization_id}")
        cache.set(f"applied:{record.partition}", record.offset)
