"""Everything that a destination holds, without a group."""

from collections.abc import Iterator

from event_stream.binders.redis.records import as_record, offset_of
from event_stream.binders.redis.server import Server, unavailable
from event_stream.message import Record

_AT_ONCE = 100


def history(server: Server, destination: str) -> Iterator[Record]:
    """Up to where each partition ended when it was asked first. Raises UnavailableError. Closes the server."""
    try:
        partitions = server.partitions(destination)
        keys = server.keys(destination)
        with unavailable():
            looked = server.run("look", [keys.topic, *keys.logs(partitions)], ["", *range(partitions)])
        for partition, (_, newest, _) in enumerate(looked or ()):
            if newest:
                yield from _partition(server, destination, partition, offset_of(newest))
    finally:
        server.close()


def _partition(server: Server, destination: str, partition: int, newest: int) -> Iterator[Record]:
    offset = -1
    while offset < newest:
        with unavailable():
            entries = server.range(server.keys(destination).log(partition), f"{offset + 1}-0", f"{newest}-0", _AT_ONCE)
        if not entries:
            return
        for entry in entries:
            record = as_record(destination, partition, entry)
            offset = record.offset
            yield record
