"""A server that is away costs its callers one failure a second, and one line in the log."""

import logging
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from event_stream.clock import Clock
from event_stream.errors import UnavailableError

logger = logging.getLogger("event_stream.cache")

P = ParamSpec("P")
R = TypeVar("R")


class Outage:
    """Stands before a server. After a failure nobody tries for `cool_down_s`; then one caller does, and so on.

    `of` is the kind of failure that it is there for, others are raised; `began` and `ended` are its two lines.
    """

    def __init__(
        self,
        clock: Clock,
        cool_down_s: float,
        *,
        of: type[UnavailableError] = UnavailableError,
        began: str = "cache.unreachable",
        ended: str = "cache.reachable",
    ) -> None:
        self._of = of
        self._began, self._ended_again = began, ended
        self._clock = clock
        self._cool_down_s = cool_down_s
        self._lock = threading.Lock()
        self._began_s: float | None = None
        self._next_try_s = 0.0

    @property
    def on(self) -> bool:
        return self._began_s is not None

    def attempt(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
        """What the work returns; None where the server fails (`of`) or did a moment ago."""
        if self._began_s is not None and not self._my_turn():
            return None
        try:
            result = work(*args, **kwargs)
        except self._of as error:
            self._failed(error)
            return None
        if self._began_s is not None:
            self._ended()
        return result

    def _my_turn(self) -> bool:
        with self._lock:
            now_s = self._clock.monotonic_s()
            if now_s < self._next_try_s:
                return False
            self._next_try_s = now_s + self._cool_down_s
            return True

    def _failed(self, error: UnavailableError) -> None:
        with self._lock:
            now_s = self._clock.monotonic_s()
            self._next_try_s = now_s + self._cool_down_s
            if self._began_s is None:
                self._began_s = now_s
                logger.warning(self._began, extra={"error": str(error)})

    def _ended(self) -> None:
        with self._lock:
            if self._began_s is not None:
                outage_s = self._clock.monotonic_s() - self._began_s
                self._began_s = None
                logger.info(self._ended_again, extra={"outage_s": round(outage_s, 3)})
