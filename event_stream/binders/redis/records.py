"""From records to entries of a stream and back.

An entry's id is `<offset>-0`, and the offset the microsecond of Redis' clock at which it was appended, or a bit more.
Its fields are `key` and `value`, each left out where the record has none, and `header:<name>`, in order and repeated.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from event_stream.message import OutboundRecord, Record

Entry: TypeAlias = tuple[bytes, Sequence[bytes]]
"""As Redis answers it: an id, and field, value, field, value, ..."""

_HEADER = "header:"


def fields_of(record: OutboundRecord) -> list[str | bytes]:
    fields: list[str | bytes] = []
    if record.key is not None:
        fields += ["key", record.key]
    if record.value is not None:
        fields += ["value", record.value]
    for name, value in record.headers:
        fields += [f"{_HEADER}{name}", value]
    # Redis takes no entry without a field.
    return fields or ["tombstone", b""]


def offset_of(id: bytes) -> int:
    return int(id.partition(b"-")[0])


def as_record(destination: str, partition: int, entry: Entry) -> Record:
    id, fields = entry
    offset = offset_of(id)
    found: dict[bytes, bytes] = {}
    headers: list[tuple[str, bytes]] = []
    for name, value in _pairs(fields):
        if name.startswith(_HEADER.encode()):
            headers.append((name[len(_HEADER) :].decode(), value))
        else:
            found[name] = value
    return Record(
        destination, partition, offset, found.get(b"key"), found.get(b"value"), tuple(headers), offset // 1000
    )


def _pairs(fields: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    each = iter(fields)
    return zip(each, each, strict=True)
