"""Reading from Redis Streams as a member of a group."""

import logging
import math
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from event_stream.binder import LogBounds, RebalanceListener
from event_stream.binders.redis.membership import Membership
from event_stream.binders.redis.records import Entry, as_record, offset_of
from event_stream.binders.redis.server import Server, unavailable
from event_stream.errors import UnavailableError
from event_stream.message import Record

logger = logging.getLogger("event_stream.binders.redis")


class RedisConsumer:
    """One destination for one group. It joins with the first poll."""

    def __init__(
        self, server: Server, destination: str, group: str, listener: RebalanceListener, properties: Mapping[str, Any]
    ) -> None:
        self._server = server
        self._destination = destination
        self._keys = server.keys(destination)
        self._group = group
        self._listener = listener
        self._membership = Membership(server, self._keys, group, properties)
        self._commit_every_s: float = properties["commit_interval_ms"] / 1000
        self._commit_at = 0.0
        self._done: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self._paused: set[int] = set()
        self._joined = self._away = self._closed = False

    def poll(self, timeout_s: float, max_records: int) -> Mapping[int, Sequence[Record]]:
        deadline = time.monotonic() + timeout_s
        self._away = True
        while True:
            if self._done and time.monotonic() >= self._commit_at:
                self._commit()
            moved = self._membership.due_s == 0 and self._turn()
            found = {} if moved else self._read(deadline, max_records)
            if self._membership.is_in_doubt:
                continue
            if moved or found or time.monotonic() >= deadline:
                self._away = False
                for partition, records in found.items():
                    self._positions[partition] = records[-1].offset + 1
                return found

    def seek(self, partition: int, offset: int) -> None:
        self._require(partition)
        self._positions[partition] = offset

    def pause(self, partitions: Collection[int]) -> None:
        self._paused |= set(partitions)

    def resume(self, partitions: Collection[int]) -> None:
        self._paused -= set(partitions)

    def position(self, partition: int) -> int:
        self._require(partition)
        return self._positions[partition]

    def commit(self, next_offsets: Mapping[int, int]) -> None:
        self._done.update(next_offsets)

    def committed(self, partition: int) -> int | None:
        [(_, committed)] = self._look([partition])
        return committed

    def bounds(self, partitions: Collection[int]) -> Mapping[int, LogBounds]:
        return {at: bounds for at, (bounds, _) in zip(partitions, self._look(partitions), strict=True)}

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._membership.end()
        owned = list(self._membership.owned)
        # Who has just not been answered does not wait for it once more.
        with suppress(UnavailableError):
            if not self._away:
                self._commit()
        if owned:
            self._listener.revoked(sorted(owned))
        with suppress(UnavailableError):
            if self._joined and not self._away:
                self._membership.give_back(owned, leaving=True)
        self._server.close()

    def _turn(self) -> bool:
        """Whether the listener was told of anything."""
        moved = self._membership.turn()
        if moved.gone:
            self._forget(moved.gone)
            self._listener.lost(sorted(moved.gone))
        if moved.surplus:
            self._commit()
            self._forget(moved.surplus)
            self._listener.revoked(sorted(moved.surplus))
            self._membership.give_back(moved.surplus)
        first, self._joined = not self._joined, True
        new = sorted(set(self._membership.owned) - set(self._positions))
        if new or first:
            for partition, (bounds, committed) in zip(new, self._look(new), strict=True):
                self._positions[partition] = bounds.start if committed is None else committed
            self._listener.assigned(new)
        return bool(new or first or moved.gone or moved.surplus)

    def _forget(self, partitions: Collection[int]) -> None:
        for partition in partitions:
            self._positions.pop(partition, None)
            self._done.pop(partition, None)
        self._paused -= set(partitions)

    def _read(self, deadline: float, max_records: int) -> dict[int, list[Record]]:
        """Of all partitions in one round trip; of those that had more than their part, again."""
        found: dict[int, list[Record]] = {}
        hungry = {at: offset for at, offset in self._positions.items() if at not in self._paused}
        patience_s = max(0.0, min(deadline - time.monotonic(), self._membership.due_s))
        if not hungry:
            time.sleep(patience_s)
        while hungry and max_records > 0:
            count = math.ceil(max_records / len(hungry))
            came = self._entries(hungry, count, 0.0 if found else patience_s)
            hungry = {at: offset_of(entries[-1][0]) + 1 for at, entries in came.items() if len(entries) == count}
            for at, entries in came.items():
                records = [as_record(self._destination, at, entry) for entry in entries[:max_records]]
                max_records -= len(records)
                if records:
                    found.setdefault(at, []).extend(records)
        return found

    def _entries(self, positions: Mapping[int, int], count: int, patience_s: float) -> dict[int, Sequence[Entry]]:
        partitions = {self._keys.log(at).encode(): at for at in positions}
        # An id ends in -0: what comes after the one before the position, whether or not there is such a one.
        after = [f"{position - 1}-1" if position > 0 else "0-0" for position in positions.values()]
        block = ["BLOCK", max(1, int(patience_s * 1000))] if patience_s > 0 else []
        with unavailable():
            arguments = ["COUNT", count, *block, "STREAMS", *partitions, *after]
            answer = self._server.ask("XREAD", *arguments)
        return {partitions[log]: entries for log, entries in cast("list[tuple[bytes, list[Entry]]]", answer or [])}

    def _look(self, partitions: Collection[int]) -> list[tuple[LogBounds, int | None]]:
        """Each log's bounds, and what the group has committed there."""
        if not partitions:
            return []
        keys = [self._keys.topic, *map(self._keys.log, partitions)]
        with unavailable():
            looked = self._server.run("look", keys, [self._group, *partitions])
        if looked is None:
            raise UnavailableError(f"Redis has no destination {self._destination!r} any more")
        found: list[tuple[LogBounds, int | None]] = []
        for start, newest, done in looked:
            first = int(start)
            bounds = LogBounds(first, offset_of(newest) + 1 if newest else first)
            found.append((bounds, offset_of(done) + 1 if done else None))
        return found

    def _commit(self) -> None:
        if not self._done:
            return
        done, self._done = self._done, {}
        try:
            lost = self._membership.commit(done)
        except UnavailableError:
            self._done = {**done, **self._done}
            raise
        self._commit_at = time.monotonic() + self._commit_every_s
        if lost:
            extra = {"destination": self._destination, "offsets": {str(at): done[at] for at in lost}}
            logger.warning("commit.refused", extra={**extra, "reason": "another member has the partition"})

    def _require(self, partition: int) -> None:
        if partition not in self._positions:
            raise ValueError(f"partition {partition} is not assigned to this consumer")
