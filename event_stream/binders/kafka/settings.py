"""kafka-python's settings: our defaults with their reasons, and what may not be set."""

import re
from collections.abc import Mapping
from typing import Any

import kafka

from event_stream.conf import Binding
from event_stream.errors import ConfigurationError

_CLIENT = {
    # A broker that comes back is found within a second, and a missing one costs a wait of this long and no more.
    "reconnect_backoff_max_ms": 1_000,
    "bootstrap_timeout_ms": 5_000,
    "retry_backoff_ms": 50,
    # A topic that clients make by asking for it would have the broker's default of partitions, and keys would move.
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
}
_PRODUCER = {
    # send() waits this long for a topic's metadata or for buffer space; a broker that is away can't hang a caller.
    "max_block_ms": 2_000,
    "request_timeout_ms": 5_000,
    "delivery_timeout_ms": 10_000,
    "linger_ms": 0,
    # For a backlog, in fewer and larger requests. Nothing waits for a batch to fill.
    "batch_size": 131_072,
}
_CONSUMER = {
    # By it the members of a group that are ours are told from those that are not.
    "client_id": "django-event-stream",
    # A fetch under way does not ask for a partition that has just been sought or drained; it is held this long at most.
    "fetch_max_wait_ms": 100,
    # A member that died is replaced after the session (the shortest that brokers allow by default), and a rebalance is
    # heard of with the next heartbeat.
    "session_timeout_ms": 6_000,
    "heartbeat_interval_ms": 500,
    "max_poll_interval_ms": 300_000,
    "request_timeout_ms": 10_000,
    # A topic made after the worker has started is seen this soon.
    "metadata_max_age_ms": 5_000,
    "commit_interval_ms": 100,
}
_PRODUCER_FIXED = {"acks": "all", "enable_idempotence": True}
_CONSUMER_FIXED = {"enable_auto_commit": False, "auto_offset_reset": "earliest"}
_OURS = {
    "acks": "always 'all', or an acknowledged message could be lost",
    "enable_idempotence": "always on, or a retry could write a message twice or out of order",
    "retries": "unbounded within delivery_timeout_ms",
    "transactional_id": "not used: the outbox makes publishing follow the transaction",
    "partitioner": "Kafka's default, on which event_stream.messaging.partitioner agrees",
    "enable_auto_commit": "always off: what is committed is what has been handled",
    "auto_offset_reset": "always 'earliest': 'latest' passes over what came before the first commit",
    "group_id": "the binding's 'group'",
    "max_poll_records": "the binding's 'batch_size'",
    "kafka_client": "not to be replaced",
    **dict.fromkeys(
        ("key_serializer", "value_serializer", "key_deserializer", "value_deserializer"), "the binding's content type"
    ),
}
_OWN = {"commit_interval_ms"}
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def binder_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """What both clients share. Raises ConfigurationError."""
    shared = set(kafka.KafkaProducer.DEFAULT_CONFIG) & set(kafka.KafkaConsumer.DEFAULT_CONFIG)
    _check_names(properties, shared, "")
    protocol = properties.get("security_protocol", _PROTOCOLS[0])
    if protocol not in _PROTOCOLS:
        # kafka-python would speak plain text without a word.
        should_be = f"it should be one of {', '.join(map(repr, _PROTOCOLS))}"
        raise ConfigurationError(f"['security_protocol'] is {protocol!r}; {should_be}")
    servers = properties.get("bootstrap_servers")
    if isinstance(servers, str):
        servers = [server.strip() for server in servers.split(",")]
    if not isinstance(servers, list | tuple) or not servers or not all(map(_is_server, servers)):
        given = properties.get("bootstrap_servers")
        raise ConfigurationError(f"['bootstrap_servers'] is {given!r}; it should be a list of 'host:port'")
    return {**_CLIENT, **properties, "bootstrap_servers": list(servers)}


def producer_properties(binder: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Everything for kafka.KafkaProducer. Raises ConfigurationError."""
    path = "['producer']['properties']"
    _check_names(own, kafka.KafkaProducer.DEFAULT_CONFIG, path)
    merged = {**_PRODUCER, **binder, **own, **_PRODUCER_FIXED}
    _check_order(merged, path, "request_timeout_ms", "delivery_timeout_ms")
    return merged


def consumer_properties(binder: Mapping[str, Any], binding: Binding) -> dict[str, Any]:
    """Everything for kafka.KafkaConsumer, and our own commit_interval_ms. Raises ConfigurationError."""
    path = "['consumer']['properties']"
    own = binding.consumer.properties
    _check_names(own, {*kafka.KafkaConsumer.DEFAULT_CONFIG, *_OWN}, path)
    merged = {**_CONSUMER, **binder, **own, **_CONSUMER_FIXED}
    merged |= {"group_id": binding.group, "max_poll_records": binding.consumer.batch_size}
    _check_order(merged, path, "heartbeat_interval_ms", "session_timeout_ms")
    _check_order(merged, path, "session_timeout_ms", "max_poll_interval_ms")
    _check_order(merged, path, "fetch_max_wait_ms", "request_timeout_ms")
    if binding.consumer.dead_letters:
        _check_poll_budget(merged, producer_properties(binder, binding.producer.properties), binding)
    return merged


def _check_poll_budget(consumer: Mapping[str, Any], producer: Mapping[str, Any], binding: Binding) -> None:
    """A retry never waits between polls, but parking does: as many as may follow one another have to fit in."""
    slowest_ms = producer["max_block_ms"] + producer["delivery_timeout_ms"]
    limit_ms = consumer["max_poll_interval_ms"]
    if slowest_ms >= limit_ms:
        raise ConfigurationError(
            f"['consumer']['properties']['max_poll_interval_ms'] is {limit_ms}; it should be above {slowest_ms}, "
            f"the max_block_ms and delivery_timeout_ms that parking one dead letter of {binding.name!r} may take"
        )


def check_destination(destination: str) -> None:
    if not _TOPIC.fullmatch(destination) or destination in {".", ".."}:
        should_be = "it should be a topic name: up to 249 letters, digits, '.', '_' and '-'"
        raise ConfigurationError(f"['destination'] is {destination!r}; {should_be}")


def _check_names(properties: Mapping[str, Any], known: "Mapping[str, Any] | set[str]", path: str) -> None:
    for name in properties:
        if name in _OURS:
            raise ConfigurationError(f"{path}[{name!r}] can't be set; it is {_OURS[name]}")
        if name not in known:
            raise ConfigurationError(f"{path}[{name!r}] is not a setting of kafka-python that belongs here")


def _check_order(properties: Mapping[str, Any], path: str, smaller: str, greater: str) -> None:
    for name in (smaller, greater):
        value = properties[name]
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            raise ConfigurationError(f"{path}[{name!r}] is {value!r}; it should be milliseconds, above 0")
    if properties[smaller] >= properties[greater]:
        should_be = f"it should be below {greater} ({properties[greater]})"
        raise ConfigurationError(f"{path}[{smaller!r}] is {properties[smaller]}; {should_be}")


def _is_server(value: object) -> bool:
    host, _, port = str(value).rpartition(":")
    return isinstance(value, str) and bool(host) and port.isdigit()
