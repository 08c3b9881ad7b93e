"""edx-event-bus-kafka: one message at a time, decoded from Avro, its offset committed after the signal's receivers.

`edx_event_bus.py consume` evicts. `edx_event_bus.py produce ID` sends one event, whose bytes the benchmark takes as the
pattern of all others. The schema registry is the small one of the benchmark: the library asks it once for a schema.
"""

import os
import sys
from typing import Any

import attr
import django
import redis
from django.conf import settings
from django.core.management import call_command

settings.configure(
    INSTALLED_APPS=["openedx_events", "edx_event_bus_kafka"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    EVENT_BUS_CONSUMER="edx_event_bus_kafka.KafkaEventConsumer",
    EVENT_BUS_KAFKA_BOOTSTRAP_SERVERS=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
    EVENT_BUS_KAFKA_SCHEMA_REGISTRY_URL=os.environ["SCHEMA_REGISTRY_URL"],
)
django.setup()

from edx_event_bus_kafka.internal.producer import create_producer  # noqa: E402 - they read the settings
from openedx_events.data import EventsMetadata  # noqa: E402
from openedx_events.tooling import OpenEdxPublicSignal  # noqa: E402

cache = redis.Redis.from_url(os.environ["REDIS_URL"])


@attr.s(frozen=True)
class Change:
    id = attr.ib(type=str)
    action = attr.ib(type=str)


CHANGED = OpenEdxPublicSignal(event_type="org.example.organization.changed.v1", data={"change": Change})


def evict(change: Change, **_more: Any) -> None:
    cache.delete(f"organization:{change.id}")


def produce(id: str) -> None:
    producer = create_producer()
    metadata = EventsMetadata(event_type=CHANGED.event_type, minorversion=0)
    event = {"change": Change(id=id, action="UPDATED")}
    producer.send(
        signal=CHANGED,
        topic=os.environ["TOPIC"],
        event_key_field="change.id",
        event_data=event,
        event_metadata=metadata,
    )
    producer.prepare_for_shutdown()


if __name__ == "__main__":
    if sys.argv[1] == "produce":
        produce(sys.argv[2])
    else:
        CHANGED.connect(evict)
        call_command("consume_events", topic=[os.environ["TOPIC"]], group_id=[os.environ["GROUP"]])
