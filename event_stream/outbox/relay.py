"""The relay sends the entries of the outbox to the platform. Any number may run; one leads and the others wait.

`Relay` runs in the thread that calls it, `RelayThread` in a thread of its own. `start_embedded_relay` starts one inside
the web process.
"""

import atexit
import logging
import threading
import time
from collections.abc import Sequence

import psycopg

from event_stream import signals
from event_stream.errors import ConfigurationError
from event_stream.outbox.leader_lock import LeaderLock
from event_stream.outbox.publisher import Heartbeats, Publisher, outage_log
from event_stream.outbox.settings import OutboxSettings, outbox_settings
from event_stream.outbox.store import Entry, Store, UnsentReader, connect
from event_stream.retry import backoff_s

logger = logging.getLogger("event_stream.outbox")

_RETRY_MIN_S, _RETRY_MAX_S = 0.1, 1.0
_RECONNECT_MIN_S, _RECONNECT_MAX_S = 0.2, 2.0
_IDLE_BACKOFF_MIN_S, _IDLE_BACKOFF_MAX_S = 0.001, 0.02
_STOP_TIMEOUT_S = 1.5
_RESTART_S = 5.0


class Retention:
    """Deletes published entries once they are old enough.

    It purges one small batch between two batches of messages, so that no message waits for a purge.
    """

    def __init__(self, store: Store, settings: OutboxSettings) -> None:
        self._store = store
        self._settings = settings
        self._due_s = time.monotonic()

    def wait_s(self) -> float:
        return max(0.0, self._due_s - time.monotonic())

    def purge_if_due(self) -> None:
        """Purge one batch. A full batch means that there is more, so the next purge is due at once."""
        if self.wait_s() > 0:
            return
        limit = self._settings.purge_batch_size
        purged = self._store.purge(self._settings.retention_hours, limit)
        if purged:
            logger.info("outbox.purged", extra={"count": purged})
        if purged < limit:
            self._due_s = time.monotonic() + self._settings.purge_interval_s


class Relay:
    """Sends every entry at least once and in order.

    `run` returns when `stop` is called (from any thread) or, with `until_drained`, when nothing is left to send, no
    matter which relay sent it. It waits for databases and brokers that are away. Raises ConfigurationError.
    """

    def __init__(self, settings: OutboxSettings | None = None, *, until_drained: bool = False) -> None:
        self._settings = settings or outbox_settings()
        self._until_drained = until_drained
        self._stop = threading.Event()
        self._broker = outage_log("broker")
        self._database = outage_log("database")
        self._failures = 0
        """How often in a row the database has failed before this relay got anything done."""
        self._is_done = False
        self.is_leader = False
        self.parked = 0
        """How many entries this relay has parked."""

    @property
    def outage(self) -> str | None:
        """Why messages can't be sent or read at the moment; None where nothing is known to be wrong."""
        return self._database.error() or self._broker.error()

    @property
    def is_database_away(self) -> bool:
        """Also where it answers and takes no writes."""
        return self._database.is_on()

    @property
    def is_broker_away(self) -> bool:
        """As far as this relay knows: one that stands by has not asked."""
        return self._broker.is_on()

    def stop(self) -> None:
        """Return at once. `run` ends within a second, or within two while it tries to reach a broker."""
        self._stop.set()

    def wait_for_stop(self, timeout_s: float) -> bool:
        """Return whether `stop` was called by the end of that time."""
        return self._stop.wait(timeout_s)

    def run(self) -> None:
        while not self._stop.is_set() and not self._is_done:
            try:
                with connect(self._settings.database) as connection:
                    self._serve(connection)
            except psycopg.Error as error:
                self._database.failed(error)
                self._failures += 1
                self.is_leader = False
                signals.relay_polled.send_robust(type(self), relay=self)
                self._stop.wait(backoff_s(self._failures, _RECONNECT_MIN_S, _RECONNECT_MAX_S))
            finally:
                self.is_leader = False

    def _serve(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        leader_lock, store = LeaderLock(connection), Store(connection)
        # The server may answer before its table is migrated, or while it takes no writes; no relay should lead until
        # then.
        store.check_writable(self._settings.batch_size)
        self._database.succeeded()
        logger.info("outbox.ready")
        while not leader_lock.acquire():
            self._failures = 0
            signals.relay_polled.send_robust(type(self), relay=self)
            if self._stop.wait(self._settings.election_interval_s) or self._drained(store):
                return
        self.is_leader = True
        logger.info("outbox.leader", extra={"backend_pid": connection.info.backend_pid})
        publisher = Publisher(store, self._broker, self._stop.is_set)
        try:
            self._lead(leader_lock, store, publisher)
        finally:
            self.parked += publisher.parked

    def _lead(self, leader_lock: LeaderLock, store: Store, publisher: Publisher) -> None:
        heartbeats = Heartbeats(store, self._broker, self._settings.heartbeat_interval_s)
        retention = Retention(store, self._settings)
        unsent = UnsentReader(store)
        retry_s, idle_backoff_s, was_busy = _RETRY_MIN_S, _IDLE_BACKOFF_MIN_S, False
        # A backlog goes in two halves: while one is acknowledged and marked, the other is read and sent.
        half = max(1, self._settings.batch_size // 2)
        while not self._stop.is_set():
            under_way = publisher.under_way
            entries: Sequence[Entry] | None = None
            if publisher.may_send and len(under_way) + half <= self._settings.batch_size:
                entries = unsent.read(half, under_way)
            if entries:
                if was_busy:
                    leader_lock.suppress_notify()
                was_busy = True
                idle_backoff_s = _IDLE_BACKOFF_MIN_S
                publisher.send(entries)
            if under_way or (entries and len(entries) < half):
                # Otherwise there may be more to send meanwhile.
                if publisher.settle():
                    retry_s = _RETRY_MIN_S
                elif not publisher.under_way:
                    unsent.start_over()
                    self._stop.wait(retry_s)
                    retry_s = min(retry_s * 2, _RETRY_MAX_S)
            heartbeats.beat_if_due()
            retention.purge_if_due()
            self._failures = 0
            signals.relay_polled.send_robust(type(self), relay=self)
            if entries is None or entries or publisher.under_way:
                continue
            if self._drained(store):
                return
            was_requested = leader_lock.notify_requested
            if not leader_lock.request_notify():
                # A writer is about to commit without a notification.
                time.sleep(idle_backoff_s)
                idle_backoff_s = min(idle_backoff_s * 2, _IDLE_BACKOFF_MAX_S)
            elif was_requested:
                timeout_s = min(heartbeats.wait_s(), retention.wait_s(), self._settings.poll_interval_s)
                leader_lock.wait(timeout_s, self._stop.is_set)
                was_busy = False
        while publisher.under_way:
            # What is acknowledged by now need not be sent again by the next leader.
            publisher.settle()

    def _drained(self, store: Store) -> bool:
        """Return whether the relay is to end with the outbox drained, and it is drained."""
        self._is_done = self._until_drained and store.is_drained()
        return self._is_done


class RelayThread(threading.Thread):
    """A relay on a daemon thread, so that its process can end while a broker doesn't answer.

    With `restart_s`, a relay that crashed runs again after that long.
    """

    def __init__(self, relay: Relay, *, restart_s: float | None = None) -> None:
        super().__init__(name="outbox-relay", daemon=True)
        self.relay = relay
        self.error: Exception | None = None
        """The exception that ended the relay, if any."""
        self._restart_s = restart_s

    def run(self) -> None:
        logged = ""
        while True:
            try:
                self.relay.run()
            except ConfigurationError as error:
                # Until a person changes it, one line is enough.
                if str(error) != logged:
                    logger.error("outbox.misconfigured", extra={"error": str(error)})  # noqa: TRY400 - no traceback
                    logged = str(error)
                self.error = error
            except Exception as error:
                logger.exception("outbox.crashed")
                self.error = error
            if self.error is None or self._restart_s is None or self.relay.wait_for_stop(self._restart_s):
                return
            self.error = None

    def stop(self, timeout_s: float) -> None:
        self.relay.stop()
        self.join(timeout_s)


_lock = threading.Lock()
_thread: RelayThread | None = None


def start_embedded_relay() -> None:
    """Start this process' relay, unless it runs already or EVENT_STREAM_OUTBOX["embedded"] is false.

    Call it in wsgi.py; the service then needs no further process to publish. Servers that load the application before
    they fork (gunicorn's preload) have to call it after the fork, which no thread survives. The relay ends with the
    process. Raises ImproperlyConfigured for a wrong setting.
    """
    global _thread  # noqa: PLW0603 - one for each process
    settings = outbox_settings()
    with _lock:
        if not settings.embedded or is_embedded_relay_running():
            return
        _thread = RelayThread(Relay(settings), restart_s=_RESTART_S)
        _thread.start()
        atexit.register(stop_embedded_relay)


def stop_embedded_relay() -> None:
    """Stop this process' relay, so that another one takes over. Does nothing where none runs."""
    with _lock:
        if _thread is not None:
            _thread.stop(_STOP_TIMEOUT_S)
    atexit.unregister(stop_embedded_relay)


def is_embedded_relay_running() -> bool:
    return _thread is not None and _thread.is_alive()
