"""The binder's settings: defaults with their reasons, and validation. Names that Kafka has too are Kafka's."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from event_stream.conf import Binding
from event_stream.errors import ConfigurationError

_WEEK_MS = 7 * 24 * 3_600_000
BINDER: Mapping[str, Any] = {
    "url": None,
    "prefix": "event_stream",
    # With `partitions`, a missing destination is created by its first use; without, it has to be created before.
    "partitions": None,
    "retention_ms": None,
    "keep_unread": True,
    "group_retention_ms": _WEEK_MS,
}
PRODUCER: Mapping[str, Any] = {
    # send() waits this long for room in its queue.
    "max_block_ms": 2_000,
    "connect_timeout_ms": 1_000,
    "request_timeout_ms": 5_000,
    # Redis itself would take 512 MB, and a consumer holds a whole batch of messages in memory.
    "max_message_bytes": 2_097_152,
    # What an acknowledgement waits for, apart from Redis' memory and log file.
    "fsync": False,
    "replicas": 0,
    "replicas_timeout_ms": 2_000,
}
CONSUMER: Mapping[str, Any] = {
    # A dead member is replaced after the session; a new member is seen with the next heartbeat.
    "session_timeout_ms": 10_000,
    "heartbeat_interval_ms": 500,
    # A member whose batch takes longer counts as stuck, and its partitions go to others.
    "max_poll_interval_ms": 300_000,
    "commit_interval_ms": 100,
    "connect_timeout_ms": 500,
    # In addition to the time that Redis may block. Short, as a worker has to see its stop flag.
    "request_timeout_ms": 1_000,
}
_MAY_BE_ZERO = {"replicas", "commit_interval_ms"}
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def binder_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings of the binder. Raises ConfigurationError."""
    merged = _merged(BINDER, properties, "")
    url = merged["url"]
    if not isinstance(url, str) or urlsplit(url).scheme not in {"redis", "rediss", "unix"}:
        # The message doesn't repeat the URL, which may hold a password.
        raise ConfigurationError("['url'] is missing or no Redis URL; it should be one such as 'redis://host:6379/0'")
    prefix = merged["prefix"]
    if not isinstance(prefix, str) or not prefix or set(prefix) & set("{}"):
        raise ConfigurationError(f"['prefix'] is {prefix!r}; it should be a text without braces")
    return merged


def producer_properties(binding: Binding) -> dict[str, Any]:
    return _merged(PRODUCER, binding.producer.properties, "['producer']['properties']")


def consumer_properties(binding: Binding) -> dict[str, Any]:
    path = "['consumer']['properties']"
    merged = _merged(CONSUMER, binding.consumer.properties, path)
    for smaller, greater in (
        ("heartbeat_interval_ms", "session_timeout_ms"),
        ("session_timeout_ms", "max_poll_interval_ms"),
    ):
        if merged[smaller] >= merged[greater]:
            should_be = f"it should be below {greater} ({merged[greater]})"
            raise ConfigurationError(f"{path}[{smaller!r}] is {merged[smaller]}; {should_be}")
    return merged


def check_destination(destination: str) -> None:
    if not _TOPIC.fullmatch(destination):
        should_be = "it should be a topic name: up to 249 letters, digits, '.', '_' and '-'"
        raise ConfigurationError(f"['destination'] is {destination!r}; {should_be}")


def _merged(known: Mapping[str, Any], properties: Mapping[str, Any], path: str) -> dict[str, Any]:
    for name, value in properties.items():
        if name not in known:
            names = ", ".join(map(repr, known))
            raise ConfigurationError(f"{path}[{name!r}] is not known to the Redis binder; known are {names}")
        _check(f"{path}[{name!r}]", name, value, known[name])
    return {**known, **properties}


def _check(path: str, name: str, value: Any, default: Any) -> None:
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ConfigurationError(f"{path} is {value!r}; it should be True or False")
    elif isinstance(default, int) or name in {"partitions", "retention_ms"}:
        least = 0 if name in _MAY_BE_ZERO else 1
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if not (is_number and value >= least) and not (value is None and default is None):
            raise ConfigurationError(f"{path} is {value!r}; it should be a whole number from {least}")
