"""Reading from Redis Streams as a member of a group."""

import logging
import math
import os
import secrets
import socket
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from event_stream.binders.redis.connection import Entry, Keys, Server, as_record, offset_of, unavailable
from event_stream.errors import UnavailableError
from event_stream.messaging.binder import OffsetRange, RebalanceListener
from event_stream.messaging.message import ConsumerRecord

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
        self._membership = GroupAssignment(server, self._keys, group, properties)
        self._commit_every_s: float = properties["commit_interval_ms"] / 1000
        self._commit_at = 0.0
        self._done: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self._paused: set[int] = set()
        self._joined = self._away = self._closed = False

    def poll(self, timeout_s: float, max_records: int) -> Mapping[int, Sequence[ConsumerRecord]]:
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

    def bounds(self, partitions: Collection[int]) -> Mapping[int, OffsetRange]:
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

    def _read(self, deadline: float, max_records: int) -> dict[int, list[ConsumerRecord]]:
        """Of all partitions in one round trip; of those that had more than their part, again."""
        found: dict[int, list[ConsumerRecord]] = {}
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

    def _look(self, partitions: Collection[int]) -> list[tuple[OffsetRange, int | None]]:
        """Each log's bounds, and what the group has committed there."""
        if not partitions:
            return []
        keys = [self._keys.topic, *map(self._keys.log, partitions)]
        with unavailable():
            looked = self._server.run("look", keys, [self._group, *partitions])
        if looked is None:
            raise UnavailableError(f"Redis has no destination {self._destination!r} any more")
        found: list[tuple[OffsetRange, int | None]] = []
        for start, newest, done in looked:
            first = int(start)
            bounds = OffsetRange(first, offset_of(newest) + 1 if newest else first)
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


# Which partitions this member of a group has.
#
# The partitions are jobs in a stream of the group (`scripts/turn.lua`): a member takes what is free and, by XAUTOCLAIM,
# what a member had that has not been seen for the length of its session. Each keeps its fair share, and gives the rest
# back once somebody has come. So no two members have the same partition by the word of Redis. One that was frozen for
# longer than its session may still believe so: its commits are refused, and its next poll tells it.

_HUNGRY_S = 0.05
"""Who has less than its share looks again soon: what it is owed is being given back."""


@dataclass(frozen=True, slots=True)
class AssignmentChange:
    """What a turn has found: gone are those that others may have by now, surplus those that we are to give back."""

    gone: Collection[int] = ()
    surplus: Collection[int] = ()


class GroupAssignment:
    """Begins with the first turn. A thread of its own keeps what we have while a batch takes long."""

    def __init__(self, server: Server, keys: Keys, group: str, properties: Mapping[str, Any]) -> None:
        self._server = server
        self._keys = keys
        self._group = group
        self._session_ms: int = properties["session_timeout_ms"]
        self._every_s: float = properties["heartbeat_interval_ms"] / 1000
        self._stuck_s: float = properties["max_poll_interval_ms"] / 1000
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._partitions: int | None = None
        self._jobs: dict[int, bytes] = {}
        self._seen_at = self._next_at = 0.0
        self._polled_at = 0.0
        self._ended = threading.Event()
        self._keeper: threading.Thread | None = None

    @property
    def owned(self) -> Collection[int]:
        return self._jobs.keys()

    @property
    def due_s(self) -> float:
        """How long until the next turn."""
        return max(0.0, self._next_at - time.monotonic())

    @property
    def is_in_doubt(self) -> bool:
        """Nobody has seen us for so long that others may have what we had."""
        return time.monotonic() - self._seen_at > self._session_ms / 1000

    def turn(self) -> AssignmentChange:
        """Be seen, take and lose. Raises UnavailableError, and has changed nothing here then."""
        self._polled_at = began = time.monotonic()
        if self._partitions is None:
            self._partitions = self._server.partitions(self._keys.destination)
        keys = [self._keys.topic, self._keys.shares(self._group), *self._keys.logs(self._partitions)]
        with unavailable():
            answer = self._server.run("turn", keys, [self._group, self._name, self._session_ms])
        self._seen_at = began
        if answer is None:
            # Flushed, or made anew: what we have had of it is nothing.
            self._partitions, self._next_at = None, began
            gone, self._jobs = list(self._jobs), {}
            return AssignmentChange(gone=gone)
        listed, share = answer
        jobs = {int(job.rpartition(b"-")[2]): job for job in listed}
        gone = [partition for partition, job in self._jobs.items() if jobs.get(partition) != job]
        self._jobs = jobs
        self._next_at = began + (_HUNGRY_S if len(jobs) < share else self._every_s)
        self._keep()
        return AssignmentChange(gone, sorted(jobs)[share:])

    def commit(self, next_offsets: Mapping[int, int]) -> Collection[int]:
        """Returns the partitions that are not ours any more: theirs stay as they were. Raises UnavailableError."""
        ours = {partition: offset for partition, offset in next_offsets.items() if partition in self._jobs}
        keys = [self._keys.shares(self._group), *(self._keys.log(partition) for partition in ours)]
        arguments = [each for partition, offset in ours.items() for each in (self._jobs[partition], max(0, offset - 1))]
        with unavailable():
            lost = self._server.run("commit", keys, [self._group, self._name, *arguments])
        return [int(job.rpartition(b"-")[2]) for job in lost]

    def give_back(self, partitions: Collection[int], *, leaving: bool = False) -> None:
        """For others to take at once. Raises UnavailableError; they wait for the end of our session then."""
        jobs = [self._jobs.pop(partition) for partition in partitions]
        with unavailable():
            arguments = [self._group, self._name, int(leaving), *jobs]
            self._server.run("give_back", [self._keys.shares(self._group)], arguments)

    def end(self) -> None:
        """No more heartbeats."""
        self._ended.set()

    def _keep(self) -> None:
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._beat, name="redis-heartbeat", daemon=True)
            self._keeper.start()

    def _beat(self) -> None:
        while not self._ended.wait(self._every_s):
            now = time.monotonic()
            # After a doubt it is for the next poll to find out what we have.
            if self._every_s < now - self._polled_at < self._stuck_s and not self.is_in_doubt:
                # Whatever keeps Redis from answering, the next poll meets it too, and says so.
                with suppress(UnavailableError), unavailable():
                    self._server.run("keep", [self._keys.shares(self._group)], [self._group, self._name])
                    self._seen_at = now
