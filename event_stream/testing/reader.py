"""A member of a group that reads and remembers, for tests of binders."""

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from event_stream.conf import Binding
from event_stream.errors import UnavailableError
from event_stream.messaging.binder import Binder
from event_stream.messaging.message import ConsumerRecord


class Reader:
    """Starts each partition at the group's commit, as a worker does. `events` is what its consumer has told it.

    It waits for `patience_s` for what it is to read.
    """

    def __init__(self, binder: Binder, binding: Binding, patience_s: float = 30.0) -> None:
        self._patience_s = patience_s
        self.records: list[ConsumerRecord] = []
        self.owned: set[int] = set()
        self.events: list[tuple[str, tuple[int, ...]]] = []
        self.joined = False
        self._new: set[int] = set()
        self.consumer = binder.consumer(binding, self)

    def assigned(self, partitions: Collection[int]) -> None:
        self.events.append(("assigned", tuple(partitions)))
        self.joined = True
        self.owned |= set(partitions)
        self._new |= set(partitions)

    def revoked(self, partitions: Collection[int]) -> None:
        self.events.append(("revoked", tuple(partitions)))
        self.owned -= set(partitions)
        self._new -= set(partitions)

    def lost(self, partitions: Collection[int]) -> None:
        self.events.append(("lost", tuple(partitions)))
        self.owned -= set(partitions)
        self._new -= set(partitions)

    def turn(self, max_records: int = 500) -> Sequence[ConsumerRecord]:
        """Poll once; what came is remembered and returned. Nothing, while the platform is away."""
        with suppress(UnavailableError):
            return self._turn(max_records)
        return []

    def _turn(self, max_records: int) -> Sequence[ConsumerRecord]:
        polled = self.consumer.poll(0.1, max_records)
        fresh = [each for partition, records in polled.items() if partition not in self._new for each in records]
        for partition in sorted(self._new):
            start = self.consumer.committed(partition)
            self.consumer.seek(
                partition, self.consumer.bounds([partition])[partition].start if start is None else start
            )
            self._new.discard(partition)
        self.records += fresh
        return fresh

    def read_until(self, condition: "Callable[[Reader], bool]", what: str) -> None:
        """Poll until the condition is true. Raises TimeoutError, naming `what`, when it has not become so."""
        deadline = time.monotonic() + self._patience_s
        while not condition(self):
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{what}: not after {self._patience_s:g} s; {len(self.records)} records, {self.events}"
                )
            self.turn()

    def read(self, count: int) -> list[ConsumerRecord]:
        """Poll until so many records have come in all."""
        self.read_until(lambda reader: len(reader.records) >= count, f"{count} records")
        return self.records

    def commit(self) -> None:
        """Everything that has been read is done."""
        self.consumer.commit({record.partition: record.offset + 1 for record in self.records})

    def close(self) -> None:
        self.consumer.close()
