"""The binder's settings: defaults with their reasons, and validation."""

import re
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import pika

from event_stream.conf import Binding
from event_stream.errors import ConfigurationError

_BINDER = {
    # The number of queues of a group for each destination, and so of members that can work at once. It must not change
    # while there are messages: the partition of a key decides their order.
    "partitions": 6,
    # A broker or member that vanishes is detected after twice this time.
    "heartbeat_s": 10,
    "connect_timeout_ms": 2_000,
    # People have to look at dead letters, so they are kept for long.
    "journal_retention": "1M",
}
_PRODUCER = {
    # send() waits this long for a connection.
    "max_block_ms": 2_000,
    "delivery_timeout_ms": 10_000,
}
_CONSUMER = {
    # The maximum number of unacknowledged messages of each partition.
    "prefetch": 200,
    # A message delivered this often without an acknowledgement becomes a dead letter. RabbitMQ 4's properties default.
    "delivery_limit": 20,
    # A group without readers for this long is deleted with its queues; None keeps it.
    "expires_ms": None,
}
_TLS = ("ssl_cafile", "ssl_certfile", "ssl_keyfile")
_MILLISECONDS = "a whole number of milliseconds, above 0"
_NAME = re.compile(r"[\w.:-]{1,180}", re.ASCII)
_RETENTION = re.compile(r"[1-9]\d*[YMDhms]", re.ASCII)


def binder_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings, and pika's parameters of each node as "brokers". Raises ConfigurationError."""
    _check_names(properties, {"url", *_TLS, *_BINDER}, "")
    merged = {**_BINDER, **properties}
    for name in ("partitions", "heartbeat_s", "connect_timeout_ms"):
        _check_number(merged, name, "")
    if not isinstance(merged["journal_retention"], str) or not _RETENTION.fullmatch(merged["journal_retention"]):
        should_be = "a number and a unit of Y, M, D, h, m, s, as '1M' for a month"
        raise ConfigurationError(f"['journal_retention'] is {merged['journal_retention']!r}; it should be {should_be}")
    return {**merged, "brokers": _brokers(merged)}


def producer_properties(binder: Mapping[str, Any], binding: Binding) -> dict[str, Any]:
    path = "['producer']['properties']"
    properties = binding.producer.properties
    _check_names(properties, _PRODUCER, path)
    merged = {**binder, **_PRODUCER, **properties}
    for name in _PRODUCER:
        _check_number(merged, name, path, _MILLISECONDS)
    return merged


def consumer_properties(binder: Mapping[str, Any], binding: Binding) -> dict[str, Any]:
    path = "['consumer']['properties']"
    properties = binding.consumer.properties
    _check_names(properties, _CONSUMER, path)
    merged = {**binder, **_CONSUMER, **properties}
    _check_number(merged, "prefetch", path, maximum=65_535)
    _check_number(merged, "delivery_limit", path)
    if merged["expires_ms"] is not None:
        _check_number(merged, "expires_ms", path, _MILLISECONDS)
    return merged


def check_names(binding: Binding) -> None:
    """Check destination and group: both are parts of the names of queues."""
    for key, value in (("destination", binding.destination), ("group", binding.group)):
        if value is not None and not (_NAME.fullmatch(value) and len(f"{binding.destination}{binding.group}") < 200):
            should_be = "letters, digits, '_', '.', ':' and '-', fewer than 200 with the other's"
            raise ConfigurationError(f"[{key!r}] is {value!r}; it should be {should_be}")


def _brokers(properties: Mapping[str, Any]) -> Sequence[pika.ConnectionParameters]:
    urls = properties.get("url")
    if isinstance(urls, str):
        # A comma within one, in its password say, does not end it.
        urls = [url.strip() for url in re.split(r",\s*(?=amqps?://)", urls)]
    if not isinstance(urls, list | tuple) or not urls:
        raise ConfigurationError("['url'] is missing; it should be amqp://user:password@host:5672/vhost")
    return [_broker(url, properties) for url in urls]


def _broker(url: str, properties: Mapping[str, Any]) -> pika.ConnectionParameters:
    # Don't show the value: it has a password.
    if not isinstance(url, str) or not re.match(r"amqps?://[^/]", url):
        raise ConfigurationError("['url'] should begin with amqp:// or amqps:// and a host")
    try:
        parameters = pika.URLParameters(url)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"['url'] should be amqp://user:password@host:5672/vhost ({error})") from None
    timeout_s = properties["connect_timeout_ms"] / 1000
    parameters.heartbeat = properties["heartbeat_s"]
    parameters.socket_timeout = timeout_s
    parameters.stack_timeout = timeout_s
    parameters.connection_attempts = 1
    if url.startswith("amqps:"):
        parameters.ssl_options = pika.SSLOptions(_tls(properties), parameters.host)
    elif tls_names := [name for name in _TLS if properties.get(name)]:
        raise ConfigurationError(f"[{tls_names[0]!r}] goes with a url that begins with amqps://")
    return parameters


def _tls(properties: Mapping[str, Any]) -> ssl.SSLContext:
    """Verify the broker's certificate and name, with the system's authorities or `ssl_cafile`."""
    try:
        context = ssl.create_default_context(cafile=properties.get("ssl_cafile"))
        if properties.get("ssl_certfile"):
            context.load_cert_chain(properties["ssl_certfile"], properties.get("ssl_keyfile"))
    except (OSError, TypeError) as error:
        raise ConfigurationError(
            f"['ssl_cafile'], ['ssl_certfile'] or ['ssl_keyfile'] can't be used: {error}"
        ) from error
    return context


def _check_names(properties: Mapping[str, Any], known: "Mapping[str, Any] | set[str]", path: str) -> None:
    for name in properties:
        if name not in known:
            listed = ", ".join(map(repr, sorted(known)))
            raise ConfigurationError(f"{path}[{name!r}] is not known here; known are {listed}")


def _check_number(
    properties: Mapping[str, Any],
    name: str,
    path: str,
    should_be: str = "a whole number above 0",
    maximum: int = 2**31 - 1,
) -> None:
    value = properties[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= maximum:
        raise ConfigurationError(f"{path}[{name!r}] is {value!r}; it should be {should_be}")
