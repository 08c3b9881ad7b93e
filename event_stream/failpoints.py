"""Named places in this package at which a test has a process end, to see that nothing is lost there.

Another process is told by its environment. The first of these ends it (SIGKILL: nothing is tidied up) when it comes
there first, the second when it comes there for the third time, and the third freezes it instead, until a SIGCONT:

    EVENT_STREAM_CRASH_AT=outbox.sent_not_marked
    EVENT_STREAM_CRASH_AT=outbox.sent_not_marked:3
    EVENT_STREAM_CRASH_AT=worker.batch_in_hand:2:SIGSTOP

In the test's own process the place raises `Crashed`, which no `except Exception` stops; `finally` still runs:

    with armed(FailPoint.WORKER_HANDLED_NOT_COMMITTED), pytest.raises(Crashed):
        worker.run(...)

Where nothing is armed, a place costs one comparison. This module needs no pytest.
"""

import enum
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from event_stream.errors import ConfigurationError

logger = logging.getLogger("event_stream.testing")

VARIABLE = "EVENT_STREAM_CRASH_AT"


class FailPoint(enum.StrEnum):
    """What has been done there, and what has not."""

    OUTBOX_SENT_NOT_MARKED = "outbox.sent_not_marked"
    """The platform has acknowledged a batch of the relay's; the outbox does not say so yet."""
    WORKER_BATCH_IN_HAND = "worker.batch_in_hand"
    """A partition's records were polled; its handler has not seen them. Others of the same poll may be done."""
    WORKER_HANDLED_NOT_COMMITTED = "worker.handled_not_committed"
    """The handler has done them; the platform does not know."""
    DEAD_LETTER_PARKED_NOT_COMMITTED = "dead_letter.parked_not_committed"
    """The platform has acknowledged a dead letter; its origin will come again."""


class Crashed(BaseException):
    """In the place of the process's end."""


class _Armed:
    def __init__(self, point: FailPoint, times: int, crash: Callable[[FailPoint], None]) -> None:
        self._point = point
        self._remaining = times
        self._crash = crash

    def reached(self, point: FailPoint) -> None:
        if point is not self._point:
            return
        self._remaining -= 1
        if self._remaining == 0:
            self._crash(point)


def reached(point: FailPoint) -> None:
    """Where nothing is armed for this place, nothing."""
    if _armed is not None:
        _armed.reached(point)


@contextmanager
def armed(point: FailPoint, times: int = 1) -> Iterator[None]:
    """The place raises `Crashed` in this process when it is reached for that time within the block."""
    global _armed  # noqa: PLW0603 - the state of the process
    before, _armed = _armed, _Armed(point, times, _raise)
    try:
        yield
    finally:
        _armed = before


def _raise(point: FailPoint) -> NoReturn:
    raise Crashed(point)


def _from_environment() -> _Armed | None:
    given = os.environ.get(VARIABLE)
    if not given:
        return None
    name, _, rest = given.partition(":")
    times, _, number = rest.partition(":")
    try:
        point, count, how = FailPoint(name), int(times or 1), signal.Signals[number or "SIGKILL"]
    except (ValueError, KeyError) as error:
        raise ConfigurationError(
            f"{VARIABLE} is {given!r}; it should be PLACE[:TIMES[:SIGNAL]], with a place of "
            f"{', '.join(FailPoint)}, a whole number, and SIGKILL or SIGSTOP"
        ) from error

    def crash(point: FailPoint) -> None:
        logger.critical("failpoint.reached", extra={"point": str(point), "signal": how.name})
        os.kill(os.getpid(), how)

    return _Armed(point, count, crash)


_armed = _from_environment()
