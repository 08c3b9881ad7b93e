"""From kafka-python's records to ours."""

from typing import Any

from event_stream.message import Record


def as_record(each: Any) -> Record:
    return Record(
        destination=each.topic,
        partition=each.partition,
        offset=each.offset,
        key=each.key,
        value=each.value,
        headers=tuple((name, value or b"") for name, value in each.headers),
        timestamp_ms=each.timestamp,
    )
