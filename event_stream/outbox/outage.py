"""An outage is told of once when it begins and once when it is over, however often it is met."""

import logging
import time

logger = logging.getLogger("event_stream.outbox")


class Outage:
    """Of one server."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._since_s: float | None = None

    def met(self, error: object) -> None:
        if self._since_s is None:
            self._since_s = time.monotonic()
            logger.warning("outbox.unreachable", extra={"server": self._server, "error": str(error)})

    def over(self) -> None:
        if self._since_s is not None:
            down_s = round(time.monotonic() - self._since_s, 3)
            self._since_s = None
            logger.info("outbox.reachable", extra={"server": self._server, "down_s": down_s})
