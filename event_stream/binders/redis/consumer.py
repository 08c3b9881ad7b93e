"""The consumer: reads from Redis Streams as a member of a group, and holds its share of the partitions."""

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


_UNDER_ASSIGNED_S = 0.05
"""A member with less than its share asks again soon, because others are releasing partitions."""


@dataclass(frozen=True, slots=True)
class AssignmentChange:
    """The result of a heartbeat: `gone` partitions may be with other members, `surplus` ones have to be released."""

    gone: Collection[int] = ()
    surplus: Collection[int] = ()


class GroupAssignment:
    """The partitions that this member of a group holds, from its first heartbeat on.

    The partitions are jobs in a stream of the group (`scripts/claim.lua`). A member claims free jobs and, with
    XAUTOCLAIM, jobs of members that were not seen for the length of their session. Each member keeps its fair share and
    releases the rest when another member joins, so Redis never gives a partition to two members. A member that was
    frozen for longer than its session may still believe that it holds partitions: its commits are refused, and its next
    poll reports them as lost. A separate thread sends heartbeats while a batch takes long.
    """

    def __init__(self, server: Server, keys: Keys, group: str, properties: Mapping[str, Any]) -> None:
        self._server = server
        self._keys = keys
        self._group = group
        self._session_ms: int = properties["session_timeout_ms"]
        self._interval_s: float = properties["heartbeat_interval_ms"] / 1000
        self._max_poll_interval_s: float = properties["max_poll_interval_ms"] / 1000
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._partitions: int | None = None
        self._jobs: dict[int, bytes] = {}
        self._seen_at = self._next_at = 0.0
        self._polled_at = 0.0
        self._ended = threading.Event()
        self._heartbeat_thread: threading.Thread | None = None

    @property
    def owned(self) -> Collection[int]:
        return self._jobs.keys()

    @property
    def due_s(self) -> float:
        """Return how long it is until the next heartbeat is due."""
        return max(0.0, self._next_at - time.monotonic())

    @property
    def is_in_doubt(self) -> bool:
        """Whether the last heartbeat is so old that other members may hold our partitions."""
        return time.monotonic() - self._seen_at > self._session_ms / 1000

    def heartbeat(self) -> AssignmentChange:
        """Renew the session, and claim partitions. If it raises UnavailableError, nothing has changed here."""
        self._polled_at = began = time.monotonic()
        if self._partitions is None:
            self._partitions = self._server.partitions(self._keys.destination)
        keys = [self._keys.topic, self._keys.shares(self._group), *self._keys.logs(self._partitions)]
        with unavailable():
            answer = self._server.run("claim", keys, [self._group, self._name, self._session_ms])
        self._seen_at = began
        if answer is None:
            # Redis was flushed, or the destination was recreated: this member holds nothing of it.
            self._partitions, self._next_at = None, began
            gone, self._jobs = list(self._jobs), {}
            return AssignmentChange(gone=gone)
        claimed, share = answer
        jobs = {int(job.rpartition(b"-")[2]): job for job in claimed}
        gone = [partition for partition, job in self._jobs.items() if jobs.get(partition) != job]
        self._jobs = jobs
        self._next_at = began + (_UNDER_ASSIGNED_S if len(jobs) < share else self._interval_s)
        self._start_heartbeat_thread()
        return AssignmentChange(gone, sorted(jobs)[share:])

    def commit(self, next_offsets: Mapping[int, int]) -> Collection[int]:
        """Commit; return the partitions that this member has lost, which stay unchanged. Raises UnavailableError."""
        ours = {partition: offset for partition, offset in next_offsets.items() if partition in self._jobs}
        keys = [self._keys.shares(self._group), *(self._keys.log(partition) for partition in ours)]
        arguments: list[bytes | int] = []
        for partition, offset in ours.items():
            arguments += [self._jobs[partition], max(0, offset - 1)]
        with unavailable():
            lost = self._server.run("commit", keys, [self._group, self._name, *arguments])
        return [int(job.rpartition(b"-")[2]) for job in lost]

    def release(self, partitions: Collection[int], *, leaving: bool = False) -> None:
        """Let others claim partitions at once. If it raises UnavailableError, they wait for the end of this session."""
        jobs = [self._jobs.pop(partition) for partition in partitions]
        with unavailable():
            arguments = [self._group, self._name, int(leaving), *jobs]
            self._server.run("release", [self._keys.shares(self._group)], arguments)

    def end(self) -> None:
        """Stop the heartbeats."""
        self._ended.set()

    def _start_heartbeat_thread(self) -> None:
        if self._heartbeat_thread is None:
            self._heartbeat_thread = threading.Thread(target=self._beat, name="redis-heartbeat", daemon=True)
            self._heartbeat_thread.start()

    def _beat(self) -> None:
        while not self._ended.wait(self._interval_s):
            now = time.monotonic()
            # Once in doubt, only a poll may find out which partitions this member holds.
            if self._interval_s < now - self._polled_at < self._max_poll_interval_s and not self.is_in_doubt:
                # The next poll will meet the same error and raise it.
                with suppress(UnavailableError), unavailable():
                    self._server.run("heartbeat", [self._keys.shares(self._group)], [self._group, self._name])
                    self._seen_at = now


class RedisConsumer:
    """Reads one destination for one group. The first poll joins the group."""

    def __init__(
        self, server: Server, destination: str, group: str, listener: RebalanceListener, properties: Mapping[str, Any]
    ) -> None:
        self._server = server
        self._destination = destination
        self._keys = server.keys(destination)
        self._group = group
        self._listener = listener
        self._assignment = GroupAssignment(server, self._keys, group, properties)
        self._commit_every_s: float = properties["commit_interval_ms"] / 1000
        self._commit_at = 0.0
        self._uncommitted: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self._paused: set[int] = set()
        self._joined = self._away = self._closed = False

    def poll(self, timeout_s: float, max_records: int) -> Mapping[int, Sequence[ConsumerRecord]]:
        deadline = time.monotonic() + timeout_s
        self._away = True
        while True:
            if self._uncommitted and time.monotonic() >= self._commit_at:
                self._commit()
            changed = self._assignment.due_s == 0 and self._heartbeat()
            fetched = {} if changed else self._read(deadline, max_records)
            if self._assignment.is_in_doubt:
                continue
            if changed or fetched or time.monotonic() >= deadline:
                self._away = False
                for partition, records in fetched.items():
                    self._positions[partition] = records[-1].offset + 1
                return fetched

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
        self._uncommitted.update(next_offsets)

    def committed(self, partition: int) -> int | None:
        [(_, committed)] = self._offsets([partition])
        return committed

    def bounds(self, partitions: Collection[int]) -> Mapping[int, OffsetRange]:
        offsets = zip(partitions, self._offsets(partitions), strict=True)
        return {partition: bounds for partition, (bounds, _) in offsets}

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._assignment.end()
        owned = list(self._assignment.owned)
        # After a request that failed, don't wait for Redis once more.
        with suppress(UnavailableError):
            if not self._away:
                self._commit()
        if owned:
            self._listener.revoked(sorted(owned))
        with suppress(UnavailableError):
            if self._joined and not self._away:
                self._assignment.release(owned, leaving=True)
        self._server.close()

    def _heartbeat(self) -> bool:
        """Send a heartbeat; return whether the listener was called."""
        change = self._assignment.heartbeat()
        if change.gone:
            self._forget(change.gone)
            self._listener.lost(sorted(change.gone))
        if change.surplus:
            self._commit()
            self._forget(change.surplus)
            self._listener.revoked(sorted(change.surplus))
            self._assignment.release(change.surplus)
        first, self._joined = not self._joined, True
        new = sorted(set(self._assignment.owned) - set(self._positions))
        if new or first:
            for partition, (bounds, committed) in zip(new, self._offsets(new), strict=True):
                self._positions[partition] = bounds.start if committed is None else committed
            self._listener.assigned(new)
        return bool(new or first or change.gone or change.surplus)

    def _forget(self, partitions: Collection[int]) -> None:
        for partition in partitions:
            self._positions.pop(partition, None)
            self._uncommitted.pop(partition, None)
        self._paused -= set(partitions)

    def _read(self, deadline: float, max_records: int) -> dict[int, list[ConsumerRecord]]:
        """Read all partitions in one round trip, and again those that filled their part of the batch."""
        batch: dict[int, list[ConsumerRecord]] = {}
        unread = {at: offset for at, offset in self._positions.items() if at not in self._paused}
        timeout_s = max(0.0, min(deadline - time.monotonic(), self._assignment.due_s))
        if not unread:
            time.sleep(timeout_s)
        while unread and max_records > 0:
            count = math.ceil(max_records / len(unread))
            entries_of = self._entries(unread, count, 0.0 if batch else timeout_s)
            unread = {at: offset_of(entries[-1][0]) + 1 for at, entries in entries_of.items() if len(entries) == count}
            for at, entries in entries_of.items():
                records = [as_record(self._destination, at, entry) for entry in entries[:max_records]]
                max_records -= len(records)
                if records:
                    batch.setdefault(at, []).extend(records)
        return batch

    def _entries(self, positions: Mapping[int, int], count: int, timeout_s: float) -> dict[int, Sequence[Entry]]:
        partitions = {self._keys.log(at).encode(): at for at in positions}
        # Ids end in -0, so `<position - 1>-1` is below the position and above every entry before it.
        after = [f"{position - 1}-1" if position > 0 else "0-0" for position in positions.values()]
        block = ["BLOCK", max(1, int(timeout_s * 1000))] if timeout_s > 0 else []
        with unavailable():
            arguments = ["COUNT", count, *block, "STREAMS", *partitions, *after]
            answer = self._server.ask("XREAD", *arguments)
        return {partitions[log]: entries for log, entries in cast("list[tuple[bytes, list[Entry]]]", answer or [])}

    def _offsets(self, partitions: Collection[int]) -> list[tuple[OffsetRange, int | None]]:
        """Return the bounds of each log, and the offset that the group has committed there."""
        if not partitions:
            return []
        keys = [self._keys.topic, *map(self._keys.log, partitions)]
        with unavailable():
            answer = self._server.run("offsets", keys, [self._group, *partitions])
        if answer is None:
            raise UnavailableError(f"Redis has no destination {self._destination!r} any more")
        offsets: list[tuple[OffsetRange, int | None]] = []
        for start, newest, done in answer:
            first = int(start)
            bounds = OffsetRange(first, offset_of(newest) + 1 if newest else first)
            offsets.append((bounds, offset_of(done) + 1 if done else None))
        return offsets

    def _commit(self) -> None:
        if not self._uncommitted:
            return
        next_offsets, self._uncommitted = self._uncommitted, {}
        try:
            lost = self._assignment.commit(next_offsets)
        except UnavailableError:
            self._uncommitted = {**next_offsets, **self._uncommitted}
            raise
        self._commit_at = time.monotonic() + self._commit_every_s
        if lost:
            extra = {"destination": self._destination, "offsets": {str(at): next_offsets[at] for at in lost}}
            logger.warning("commit.refused", extra={**extra, "error": "another member has the partition"})

    def _require(self, partition: int) -> None:
        if partition not in self._positions:
            raise ValueError(f"partition {partition} is not assigned to this consumer")
