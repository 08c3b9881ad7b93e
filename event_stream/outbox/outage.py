"""An outage is told of once when it begins and once when it is over, however often it is met."""

import logging
import math
import time

logger = logging.getLogger("event_stream.outbox")


class Outage:
    """Of one server.

    `begun_s` says (on the monotonic clock) when that was begun whose end is reported. What was under way already when
    the outage began, or when it was over, may have ended as it would have before.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._since_s: float | None = None
        self._changed_s = -math.inf

    def met(self, error: object, *, begun_s: float = math.inf) -> None:
        if self._since_s is None and begun_s >= self._changed_s:
            self._since_s = self._changed_s = time.monotonic()
            logger.warning("outbox.unreachable", extra={"server": self._server, "error": str(error)})

    def over(self, *, begun_s: float = math.inf) -> None:
        if self._since_s is not None and begun_s >= self._changed_s:
            self._changed_s = time.monotonic()
            down_s = round(self._changed_s - self._since_s, 3)
            self._since_s = None
            logger.info("outbox.reachable", extra={"server": self._server, "down_s": down_s})
