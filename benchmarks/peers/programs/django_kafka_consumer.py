"""django-kafka: one message at a time, its offset stored once its key is gone, and committed by the client."""

import json
import os
from typing import Any

import django
import redis
from django.conf import settings
from django.core.management import call_command

settings.configure(
    INSTALLED_APPS=["django_kafka"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DJANGO_KAFKA={"GLOBAL_CONFIG": {"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"]}},
)
django.setup()

from django_kafka import kafka  # noqa: E402 - they read the settings
from django_kafka.consumer import Consumer, Topics  # noqa: E402
from django_kafka.topic import TopicConsumer  # noqa: E402

cache = redis.Redis.from_url(os.environ["REDIS_URL"])


class OrganizationChanges(TopicConsumer):
    name = os.environ["TOPIC"]

    def consume(self, msg: Any) -> None:
        cache.delete(f"organization:{json.loads(msg.value())['organizationId']}")


@kafka.consumers()
class Evictor(Consumer):
    topics = Topics(OrganizationChanges())
    config = {"group.id": os.environ["GROUP"], "auto.offset.reset": "earliest", "enable.auto.offset.store": False}


if __name__ == "__main__":
    call_command("kafka_consume", *kafka.consumers)
