"""Which platform carries the messages: the parts of EVENT_STREAM that come from the environment."""

from collections.abc import Callable, Mapping
from typing import Any

from event_stream.web.environment import addresses, choice, redis_url, text
from event_stream.web.kafka_security import kafka_security

Properties = Mapping[str, Any]


def _kafka() -> Properties:
    servers = addresses("KAFKA_BOOTSTRAP_SERVERS", "host:port of Kafka's brokers, between commas")
    return {"bootstrap_servers": servers, **kafka_security()}


def _redis() -> Properties:
    # Not the Redis of a service's cache: whoever publishes must not be able to reach that.
    return {"url": redis_url("EVENT_REDIS_URL", "the URL of the events' own Redis, such as redis://events:6379/0")}


def _rabbitmq() -> Properties:
    # Several nodes: URLs with commas between them.
    return {"url": text("RABBITMQ_URL", "the URL of RabbitMQ, such as amqps://user:password@host:5671/vhost")}


_BINDERS: Mapping[str, Callable[[], Properties]] = {"kafka": _kafka, "rabbitmq": _rabbitmq, "redis": _redis}
"""By the type of a binder: what reads its properties."""


def binders(**more_by_type: Properties) -> dict[str, Properties]:
    """EVENT_STREAM["binders"]: the one that EVENT_BINDER names, with more properties. Raises ImproperlyConfigured."""
    chosen = _chosen()
    return {chosen: {"type": chosen, **_BINDERS[chosen](), **more_by_type.get(chosen, {})}}


def properties(**by_type: Properties) -> Properties:
    """Of those given for each type of binder, the ones for the binder that EVENT_BINDER names."""
    return by_type.get(_chosen(), {})


def _chosen() -> str:
    return choice("EVENT_BINDER", "kafka", tuple(_BINDERS))
