"""An outage is two lines in the log: one when it begins, one when it is over, however many requests it costs."""

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Outage:
    began_s: float
    last_failure_s: float
    failures: int
    error: str
    back_s: float | None = None
    """The first success since the last failure."""


class OutageLog:
    """Logs `began` with the first failure of a cause, and `ended` with the first success after it.

    Causes are told apart by name, and each has an outage of its own; whoever has only one leaves the name out. `began`
    has `cause`, `error` and the fields of the call; `ended` has `cause`, `outage_s` and `failures`. `fields` are in
    both. For several threads.

    A success ends an outage only `quiet_s` after its last failure, so that a server which fails every other request is
    one outage and not a line with each; `outage_s` ends with the first success after that failure. Times are those of
    `monotonic_s`.
    """

    def __init__(
        self,
        logger: logging.Logger,
        *,
        began: str,
        ended: str,
        level: int = logging.WARNING,
        quiet_s: float = 0.0,
        cause_field: str = "cause",
        fields: dict[str, object] | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._began, self._ended = began, ended
        self._level = level
        self._quiet_s = quiet_s
        self._cause_field = cause_field
        self._fields = fields or {}
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._outages: dict[str, _Outage] = {}
        self._changed_s: dict[str, float] = {}

    def is_on(self, cause: str = "") -> bool:
        return cause in self._outages

    def error(self, cause: str = "") -> str | None:
        """The text of the last failure of an outage that is on; None without one."""
        outage = self._outages.get(cause)
        return None if outage is None else outage.error

    def failed(self, error: object, cause: str = "", *, begun_s: float = math.inf, **fields: object) -> None:
        """Counts a failure. `begun_s` is when the work that failed began.

        Work that began before this cause's outage was over is ignored then: it tells of the time before.
        """
        with self._lock:
            now_s = self._monotonic_s()
            outage = self._outages.get(cause)
            if outage is not None:
                outage.failures += 1
                outage.error = str(error)
                outage.last_failure_s = now_s
                outage.back_s = None
                return
            if begun_s < self._changed_s.get(cause, -math.inf):
                return
            self._outages[cause] = _Outage(now_s, now_s, 1, str(error))
            self._changed_s[cause] = now_s
            self._log(self._level, self._began, cause, {"error": str(error), **fields})

    def succeeded(self, *causes: str, begun_s: float = math.inf) -> None:
        """Ends the outages of these causes, or of all where none is named. `begun_s` as above."""
        if not self._outages:
            # The usual case costs no lock.
            return
        with self._lock:
            for cause in causes or tuple(self._outages):
                outage = self._outages.get(cause)
                if outage is None or begun_s < self._changed_s[cause]:
                    continue
                now_s = self._monotonic_s()
                if outage.back_s is None:
                    outage.back_s = now_s
                if now_s - outage.last_failure_s < self._quiet_s:
                    continue
                del self._outages[cause]
                self._changed_s[cause] = now_s
                outage_s = round(outage.back_s - outage.began_s, 3)
                self._log(logging.INFO, self._ended, cause, {"outage_s": outage_s, "failures": outage.failures})

    def _log(self, level: int, event: str, cause: str, fields: dict[str, object]) -> None:
        named = {self._cause_field: cause} if cause else {}
        self._logger.log(level, event, extra={**self._fields, **named, **fields})
