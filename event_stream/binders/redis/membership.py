"""Which partitions this member of a group has.

The partitions are jobs in a stream of the group (`scripts/turn.lua`): a member takes what is free and, by XAUTOCLAIM,
what a member had that has not been seen for the length of its session. Each keeps its fair share, and gives the rest
back once somebody has come. So no two members have the same partition by the word of Redis. One that was frozen for
longer than its session may still believe so: its commits are refused, and its next poll tells it.
"""

import os
import secrets
import socket
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from event_stream.binders.redis.keys import Keys
from event_stream.binders.redis.server import Server, unavailable
from event_stream.errors import UnavailableError

_HUNGRY_S = 0.05
"""Who has less than its share looks again soon: what it is owed is being given back."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What a turn has found: gone are those that others may have by now, surplus those that we are to give back."""

    gone: Collection[int] = ()
    surplus: Collection[int] = ()


class Membership:
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

    def turn(self) -> Moved:
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
            return Moved(gone=gone)
        listed, share = answer
        jobs = {int(job.rpartition(b"-")[2]): job for job in listed}
        gone = [partition for partition, job in self._jobs.items() if jobs.get(partition) != job]
        self._jobs = jobs
        self._next_at = began + (_HUNGRY_S if len(jobs) < share else self._every_s)
        self._keep()
        return Moved(gone, sorted(jobs)[share:])

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
