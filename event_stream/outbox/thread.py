"""A relay on a thread of its own."""

import logging
import threading

from event_stream.outbox.relay import Relay

logger = logging.getLogger("event_stream.outbox")


class RelayThread(threading.Thread):
    """A daemon: a process that wants to end does not wait for a broker that doesn't answer.

    With `restart_s`, a relay that crashed runs again after that long.
    """

    def __init__(self, relay: Relay, *, restart_s: float | None = None) -> None:
        super().__init__(name="outbox-relay", daemon=True)
        self.relay = relay
        self.error: Exception | None = None
        """What the relay ended with, if it should not have ended."""
        self._restart_s = restart_s

    def run(self) -> None:
        while True:
            try:
                self.relay.run()
            except Exception as error:
                logger.exception("outbox.crashed")
                self.error = error
            if self.error is None or self._restart_s is None or self.relay.wait_for_stop(self._restart_s):
                return
            self.error = None

    def stop(self, timeout_s: float) -> None:
        self.relay.stop()
        self.join(timeout_s)
