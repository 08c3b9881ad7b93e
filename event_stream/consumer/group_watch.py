"""Notices members of a group that are not ours: each side believes that it gets every message, and neither does."""

import logging
import threading
from collections.abc import Callable, Sequence

from event_stream.conf import Binding
from event_stream.errors import UnavailableError
from event_stream.messaging.binder import Binder, BrokerAdmin, OtherMember
from event_stream.outage_log import OutageLog

logger = logging.getLogger("event_stream.consumer.worker")

FIRST_AFTER_S = 5.0
EVERY_S = 30.0
REMEDY = "give the other consumer a group of its own: every group gets every message, and the members of one share them"


def words(others: Sequence[OtherMember]) -> str:
    """Which they are, and what they keep from us."""
    return "; ".join(
        f"{other.name} reads {_partitions(other.partitions)}, of which none of ours hears" for other in others
    )


class GroupWatch:
    """Looks at the binding's group again and again, as long as `reading` says that the platform can be asked.

    Logs `worker.group_is_shared` once, and `worker.group_is_ours` when it is over. Does nothing on a platform that
    tells nothing about a group.
    """

    def __init__(
        self, binding: Binding, binder: Binder, *, reading: Callable[[], bool], every_s: float = EVERY_S
    ) -> None:
        self._binding = binding
        self._binder = binder
        self._reading = reading
        self._every_s = every_s
        self._outage = OutageLog(
            logger,
            began="worker.group_is_shared",
            ended="worker.group_is_ours",
            level=logging.ERROR,
            fields={"group": binding.group, "remedy": REMEDY},
        )

    def start(self, stopped: threading.Event, *, first_after_s: float = FIRST_AFTER_S) -> None:
        """Look until `stopped`, on a daemon thread: whoever stops does not wait for an answer of the platform."""
        if isinstance(self._binder, BrokerAdmin):
            threading.Thread(target=self._run, args=(stopped, first_after_s), name="group-watch", daemon=True).start()

    def look(self) -> None:
        """Look once, and log what has changed."""
        if not isinstance(self._binder, BrokerAdmin):
            return
        try:
            group = self._binder.describe(self._binding).group
        except UnavailableError as error:
            # The worker says so itself, in its own line. The user may not be allowed to ask, too.
            logger.debug("worker.group_unknown", extra={"error": str(error)})
            return
        if group is not None and group.others:
            self._outage.failed(words(group.others))
        else:
            self._outage.succeeded()

    def _run(self, stopped: threading.Event, first_after_s: float) -> None:
        pause_s = first_after_s
        while not stopped.wait(pause_s):
            pause_s = self._every_s
            if self._reading():
                self.look()


def _partitions(numbers: Sequence[int]) -> str:
    if not numbers:
        return "no partition yet"
    return f"partition{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"
