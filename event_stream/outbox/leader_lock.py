"""Elects the one relay that leads, and lets it sleep until a writer commits."""

import time
from collections.abc import Callable

from event_stream.outbox.store import Connection
from event_stream.outbox.triggers import AWAKE_LOCK, CHANNEL, LEADER_LOCK

_STOP_CHECK_S = 0.2


class LeaderLock:
    """An advisory lock on the relay's own connection.

    The leader reads and marks entries through the same connection. A leader that has lost its connection can't mark
    anything, and the server gives the lock to the next relay.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.notify_requested = False
        """Whether writers notify the relay when they commit."""

    def acquire(self) -> bool:
        """Return whether this relay leads from now on. Don't call it again once it does."""
        if not self._lock("pg_try_advisory_lock", LEADER_LOCK):
            return False
        self._connection.execute(f"LISTEN {CHANNEL}")
        return True

    def request_notify(self) -> bool:
        """Have writers notify. False while a transaction is open that won't notify; see `NotifyTrigger`.

        Look at the table once more between this call and `wait`.
        """
        if not self.notify_requested:
            self.notify_requested = self._lock("pg_try_advisory_lock", AWAKE_LOCK)
        return self.notify_requested

    def suppress_notify(self) -> None:
        """Spare writers the NOTIFY while the relay is busy anyway."""
        if self.notify_requested:
            self.notify_requested = not self._lock("pg_advisory_unlock", AWAKE_LOCK)

    def wait(self, timeout_s: float, stop: Callable[[], bool]) -> None:
        """Return when a writer commits, the time is up, or `stop` answers True."""
        deadline = time.monotonic() + timeout_s
        while (remaining_s := deadline - time.monotonic()) > 0 and not stop():
            if list(self._connection.notifies(timeout=min(remaining_s, _STOP_CHECK_S), stop_after=1)):
                return

    def _lock(self, function: str, lock: int) -> bool:
        row = self._connection.execute(f"SELECT {function}({lock})").fetchone()
        return row is not None and row[0] is True
