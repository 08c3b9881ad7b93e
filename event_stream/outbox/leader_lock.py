"""One relay at a time: who leads, and when it may sleep."""

import time
from collections.abc import Callable

from event_stream.outbox.store import Connection
from event_stream.outbox.triggers import AWAKE_LOCK, CHANNEL, LEADER_LOCK

_STOP_CHECK_S = 0.2


class LeaderLock:
    """A relay's connection as its claim to lead.

    The lock of the leader belongs to the connection, and so does everything the leader reads and marks: one that has
    lost its connection can't mark anything, and the server gives the lock to the next.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.asleep = False
        """Writers see it, and notify."""

    def take(self) -> bool:
        """Whether this relay leads from now on. Not to be asked again once it does."""
        if not self._lock("pg_try_advisory_lock", LEADER_LOCK):
            return False
        self._connection.execute(f"LISTEN {CHANNEL}")
        return True

    def fall_asleep(self) -> bool:
        """Have writers notify. False while a transaction is open that was told it need not; see `wake`.

        Whoever is asleep has to look at the table once more before `wait`.
        """
        if not self.asleep:
            self.asleep = self._lock("pg_try_advisory_lock", AWAKE_LOCK)
        return self.asleep

    def stay_awake(self) -> None:
        """There is work at hand anyway: spare the writers the notifying."""
        if self.asleep:
            self.asleep = not self._lock("pg_advisory_unlock", AWAKE_LOCK)

    def wait(self, timeout_s: float, stop: Callable[[], bool]) -> None:
        """Until a writer commits, or the time is up, or the relay is to stop."""
        deadline = time.monotonic() + timeout_s
        while (remaining_s := deadline - time.monotonic()) > 0 and not stop():
            if list(self._connection.notifies(timeout=min(remaining_s, _STOP_CHECK_S), stop_after=1)):
                return

    def _lock(self, function: str, lock: int) -> bool:
        row = self._connection.execute(f"SELECT {function}({lock})").fetchone()
        return row is not None and row[0] is True
