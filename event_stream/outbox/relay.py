"""The relay: brings what is in the outbox to the platform. Any number may run; one leads and the others wait."""

import logging
import threading
import time

import psycopg

from event_stream.outbox.connection import connect
from event_stream.outbox.heartbeat import Heartbeats
from event_stream.outbox.leader import Seat
from event_stream.outbox.outage import Outage
from event_stream.outbox.publisher import Publisher
from event_stream.outbox.retention import Retention
from event_stream.outbox.settings import OutboxSettings, outbox_settings
from event_stream.outbox.store import Store

logger = logging.getLogger("event_stream.outbox")

_RETRY_MIN_S, _RETRY_MAX_S = 0.1, 1.0
_RECONNECT_S = 0.2
_NAP_MIN_S, _NAP_MAX_S = 0.001, 0.02


class Relay:
    """Send every entry at least once, in order, until told to stop.

    `run` returns when `stop` is called (from any thread) or, with `until_drained`, when nothing is left to send, no
    matter who sent it. Databases and brokers that are away are waited for. Raises ConfigurationError.
    """

    def __init__(self, settings: OutboxSettings | None = None, *, until_drained: bool = False) -> None:
        self._settings = settings or outbox_settings()
        self._until_drained = until_drained
        self._stop = threading.Event()
        self._broker = Outage("broker")
        self._database = Outage("database")
        self._is_done = False
        self.is_leader = False
        self.parked = 0
        """How many entries this relay has parked."""

    def stop(self) -> None:
        """Asks only: `run` returns within a second, or within two while it tries to reach a broker."""
        self._stop.set()

    def wait_for_stop(self, timeout_s: float) -> bool:
        """Whether the relay has been told to stop, by the end of that time."""
        return self._stop.wait(timeout_s)

    def run(self) -> None:
        while not self._stop.is_set() and not self._is_done:
            try:
                with connect(self._settings.database) as connection:
                    self._serve(connection)
            except psycopg.Error as error:
                self._database.met(error)
                self._stop.wait(_RECONNECT_S)
            finally:
                self.is_leader = False

    def _serve(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        seat, store = Seat(connection), Store(connection)
        # A server that answers may lack the table yet: nobody should lead before it is migrated.
        store.is_drained()
        self._database.over()
        logger.info("outbox.ready")
        while not seat.take():
            if self._stop.wait(self._settings.election_interval_s) or self._drained(store):
                return
        self.is_leader = True
        logger.info("outbox.leader", extra={"backend_pid": connection.info.backend_pid})
        publisher = Publisher(store, self._broker, self._stop.is_set)
        try:
            self._lead(seat, store, publisher)
        finally:
            self.parked += publisher.parked

    def _lead(self, seat: Seat, store: Store, publisher: Publisher) -> None:
        heartbeats = Heartbeats(store, self._broker, self._settings.heartbeat_interval_s)
        retention = Retention(store, self._settings)
        retry_s, nap_s, was_busy = _RETRY_MIN_S, _NAP_MIN_S, False
        while not self._stop.is_set():
            entries = store.unsent(self._settings.batch_size)
            if entries:
                if was_busy:
                    seat.stay_awake()
                was_busy = True
                nap_s = _NAP_MIN_S
                if publisher.publish(entries):
                    retry_s = _RETRY_MIN_S
                else:
                    self._stop.wait(retry_s)
                    retry_s = min(retry_s * 2, _RETRY_MAX_S)
            heartbeats.beat_if_due()
            retention.purge_if_due()
            if entries:
                continue
            if self._drained(store):
                return
            was_asleep = seat.asleep
            if not seat.fall_asleep():
                # Somebody is about to commit without a notification.
                time.sleep(nap_s)
                nap_s = min(nap_s * 2, _NAP_MAX_S)
            elif was_asleep:
                seat.wait(
                    min(heartbeats.wait_s(), retention.wait_s(), self._settings.poll_interval_s), self._stop.is_set
                )
                was_busy = False

    def _drained(self, store: Store) -> bool:
        """Whether there is nothing left to wait for."""
        self._is_done = self._until_drained and store.is_drained()
        return self._is_done
