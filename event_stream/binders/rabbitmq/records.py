"""Converts between RabbitMQ's messages and records.

message_id     the record's offset: microseconds of its producer's clock, always above the last one's
headers        the record's headers, as text if UTF-8; repeated ones as an array; `event-stream-key` is its key
content_type   the value of the header contentType
type           "tombstone" for a value of None
"""

import time
from collections.abc import Iterator
from typing import Any

from pika import BasicProperties

from event_stream.messaging.headers import CONTENT_TYPE
from event_stream.messaging.headers import decode as decoded
from event_stream.messaging.message import ConsumerRecord, ProducerRecord

KEY = "event-stream-key"
MAX_HEADERS_BYTES = 100_000
"""RabbitMQ takes all properties of a message in one frame of 131,072 bytes at most."""
_TOMBSTONE = "tombstone"
_PERSISTENT = 2
_DIGITS = 19
_BROKERS_OWN = ("x-death", "x-delivery-count", "x-first-death-", "x-last-death-", "x-stream-")


def as_properties(record: ProducerRecord, number: int) -> BasicProperties:
    headers: dict[str, Any] = {}
    for name, value in record.headers:
        if name in headers:
            earlier = headers[name] if isinstance(headers[name], list) else [headers[name]]
            headers[name] = [*earlier, _readable(value)]
        else:
            headers[name] = _readable(value)
    if record.key is not None:
        headers[KEY] = _readable(record.key)
    return BasicProperties(
        message_id=str(number),
        content_type=decoded(record.headers).get(CONTENT_TYPE),
        headers=headers,
        delivery_mode=_PERSISTENT,
        timestamp=number // 1_000_000,
        type=_TOMBSTONE if record.value is None else None,
    )


def headers_bytes(record: ProducerRecord) -> int:
    return len(record.key or b"") + sum(len(name) + len(value) for name, value in record.headers)


def as_record(destination: str, partition: int, properties: BasicProperties, body: bytes, least: int) -> ConsumerRecord:
    """Return the record of a message. Its offset is the producer's number, but at least `least`."""
    number = _number(properties.message_id)
    headers = properties.headers or {}
    if number is not None:
        timestamp_ms = number // 1000
    else:
        timestamp_ms = int(properties.timestamp) * 1000 if properties.timestamp else time.time_ns() // 1_000_000
    return ConsumerRecord(
        destination=destination,
        partition=partition,
        offset=max(number or 0, least),
        key=_bytes(headers[KEY]) if KEY in headers else None,
        value=None if properties.type == _TOMBSTONE else body,
        headers=tuple(_headers(headers, properties.content_type)),
        timestamp_ms=timestamp_ms,
    )


def _headers(table: dict[str, Any], content_type: str | None) -> Iterator[tuple[str, bytes]]:
    for name, value in table.items():
        if name != KEY and not name.startswith(_BROKERS_OWN):
            for item in value if isinstance(value, list) else [value]:
                yield name, _bytes(item)
    # A foreign producer may set only the property.
    if content_type and CONTENT_TYPE not in table:
        yield CONTENT_TYPE, content_type.encode()


def _readable(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _bytes(value: object) -> bytes:
    """Convert any value: a foreign producer may use other types."""
    return value if isinstance(value, bytes) else str(value).encode(errors="backslashreplace")


def _number(message_id: str | None) -> int | None:
    if message_id is None or not (message_id.isascii() and message_id.isdigit() and len(message_id) < _DIGITS):
        return None
    return int(message_id)
