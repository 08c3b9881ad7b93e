"""The probes of a worker or a relay: `/health/live`, `/health/ready` and `/metrics` on a port of their own.

The port answers whatever the Host header says, needs no token, and is for the network of the platform alone. It tells
no secret, and nothing of what the messages hold.

*Live*: the loop turns. *Ready*: the process does its job. A worker is ready once it has started on its partitions, the
platform answers, and no partition waits to be tried again, those aside that a person has paused; a relay, as leader or
standing by, once it can write to its database. A broker that is away is said (`UNREACHABLE`) and makes no relay
unready: nobody else could send either.
"""

import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Protocol

from django.core.management.base import CommandError
from prometheus_client import CONTENT_TYPE_LATEST

from event_stream import signals
from event_stream.configuration_source import configuration_source
from event_stream.consumer.worker import PartitionState
from event_stream.database_connections import database_connections
from event_stream.errors import ConfigurationError
from event_stream.metrics.exposition import exposition
from event_stream.metrics.settings import metrics_settings

if TYPE_CHECKING:
    from event_stream.consumer.worker import Worker
    from event_stream.outbox.relay import Relay

logger = logging.getLogger("event_stream.metrics")

RECENT_S = 15.0
"""A loop that has turned within it does its job; it turns twice a second where nothing holds it up."""
_REQUEST_TIMEOUT_S = 5.0

Check = Callable[[], None]
"""Returns when all is well, and raises otherwise. Called for each probe: quick and bounded in time."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """The state of each check by name, and what there is to say of those that are not UP."""

    checks: Mapping[str, str]
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        return "DOWN" not in self.checks.values()


class Loop(Protocol):
    """What a process is there for, as its probes see it. Read and written by different threads."""

    def is_live(self, stuck_after_s: float) -> bool: ...

    def readiness(self) -> Readiness: ...


class _Rounds:
    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._last_s: float | None = None

    def turned(self) -> None:
        self._last_s = self._monotonic_s()

    def is_live(self, stuck_after_s: float) -> bool:
        """Before its first round a process waits for a server, which is no reason to kill it."""
        return self._last_s is None or self._monotonic_s() - self._last_s <= stuck_after_s

    @property
    def why_not_recent(self) -> str | None:
        if self._last_s is None:
            return "it has not begun: it waits for a server, or for workers with other settings"
        age_s = self._monotonic_s() - self._last_s
        return None if age_s <= RECENT_S else f"its last round was {age_s:.0f} s ago"


class WorkerLoop:
    """Follows the worker of this process by its signals."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._rounds = _Rounds(monotonic_s)
        self._is_ready = False
        self._is_reading = False
        self._errors: dict[int, str] = {}
        self._paused: list[int] = []

    def connect(self) -> None:
        signals.worker_polled.connect(self._polled, weak=False)

    def is_live(self, stuck_after_s: float) -> bool:
        return self._rounds.is_live(stuck_after_s)

    def readiness(self) -> Readiness:
        errors = self._errors
        found = {
            "loop": self._rounds.why_not_recent,
            "partitions": None
            if self._is_ready or errors
            else "it has not joined the group, or not started on all of them",
            "platform": None if self._is_reading or not self._is_ready else "it does not answer",
            "handler": "; ".join(f"partition {number}: {error}" for number, error in sorted(errors.items())) or None,
        }
        readiness = _readiness(found)
        if self._paused:
            numbers = ", ".join(map(str, self._paused))
            return replace(readiness, details={**readiness.details, "paused": f"by a person: partition {numbers}"})
        return readiness

    def _polled(self, worker: "Worker", **_: Any) -> None:
        partitions = worker.partitions.values()
        self._paused = sorted(partition.number for partition in partitions if partition.paused_on_purpose)
        self._errors = {
            partition.number: partition.error for partition in partitions if partition.state is PartitionState.RETRYING
        }
        self._is_ready, self._is_reading = worker.ready, worker.reading
        self._rounds.turned()


class RelayLoop:
    """Follows the relay of this process by its signals."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._rounds = _Rounds(monotonic_s)
        self._relay: Relay | None = None

    def connect(self) -> None:
        signals.relay_polled.connect(self._polled, weak=False)

    def is_live(self, stuck_after_s: float) -> bool:
        return self._rounds.is_live(stuck_after_s)

    def readiness(self) -> Readiness:
        relay = self._relay
        away = relay is not None and relay.is_database_away
        ready = _readiness(
            {
                "loop": self._rounds.why_not_recent,
                "database": "it takes no writes, or does not answer" if away else None,
            }
        )
        role = "LEADER" if relay is not None and relay.is_leader else "STANDBY"
        broker = "UNREACHABLE" if relay is not None and relay.is_broker_away else "UP"
        return Readiness({**ready.checks, "role": role, "broker": broker}, ready.details)

    def _polled(self, relay: "Relay", **_: Any) -> None:
        self._relay = relay
        self._rounds.turned()


LOOPS: Mapping[str, Callable[[], WorkerLoop | RelayLoop]] = {"worker": WorkerLoop, "relay": RelayLoop}
_checks: dict[str, Check] = {}


def register(name: str, check: Check) -> None:
    """Make the readiness of this process' worker depend on a check; one of the same name is replaced."""
    _checks[name] = check


def connect() -> None:
    signals.command_started.connect(_start, dispatch_uid="event_stream.metrics.probes")


def _start(role: str, **_: Any) -> None:
    """Serve from here on, before the process waits for anything. Raises CommandError."""
    try:
        settings = metrics_settings()
        if settings.address is None:
            return
        loop = LOOPS[role]()
        loop.connect()
        checks = dict(_checks) if role == "worker" else {}
        ProbeServer(settings.address, loop, checks=checks, stuck_after_s=settings.stuck_after_s).start()
    except ConfigurationError as error:
        raise CommandError(str(error)) from error


class ProbeServer(ThreadingHTTPServer):
    """Serves from threads of its own, so that it answers whatever the loop does. Raises ConfigurationError."""

    daemon_threads = True
    request_queue_size = 16

    def __init__(
        self,
        address: tuple[str, int],
        loop: Loop,
        *,
        checks: Mapping[str, Check] | None = None,
        stuck_after_s: float = 300.0,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.loop = loop
        self.checks = checks or {}
        self.stuck_after_s = stuck_after_s
        try:
            super().__init__(address, _Handler)
        except OSError as error:
            host, port = address
            raise ConfigurationError(
                f"EVENT_STREAM_METRICS['probes'] is {host}:{port}; it should be an address of this machine and a port "
                f"that is free. {error.strerror or error}"
            ) from error

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}" if self.address_family == socket.AF_INET6 else f"http://{host!s}:{port}"

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, name="probes", daemon=True).start()
        logger.info("probes.listening", extra={"url": self.url})

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""
        error = sys.exception()
        if not isinstance(error, OSError):
            logger.error("probes.failed", exc_info=error)

    def ready(self) -> Readiness:
        readiness = self.loop.readiness()
        return _merged(readiness, _readiness({name: _error_of(check) for name, check in self.checks.items()}))


class _Handler(BaseHTTPRequestHandler):
    server: ProbeServer
    timeout = _REQUEST_TIMEOUT_S
    server_version, sys_version = "probes", ""

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/health/live":
                live = self.server.loop.is_live(self.server.stuck_after_s)
                self._answer_json(live, {"status": "UP" if live else "DOWN"})
            case "/health/ready":
                ready = self.server.ready()
                status = "UP" if ready.is_ready else "DOWN"
                body: dict[str, object] = {"status": status, "checks": dict(ready.checks)}
                if (source := configuration_source()) is not None:
                    body["configuration"] = source.state()
                self._answer_json(ready.is_ready, body | ({"details": dict(ready.details)} if ready.details else {}))
            case "/metrics":
                with database_connections():
                    self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, exposition())
            case _:
                problem = {"type": "about:blank", "title": "Not Found", "status": 404}
                self._answer(HTTPStatus.NOT_FOUND, "application/problem+json", json.dumps(problem).encode())

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """A line for each probe is of use to nobody."""

    def _answer_json(self, is_well: bool, body: dict[str, object]) -> None:
        status = HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, "application/json", json.dumps(body).encode())

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _readiness(errors: Mapping[str, str | None]) -> Readiness:
    return Readiness(
        {name: "UP" if error is None else "DOWN" for name, error in errors.items()},
        {name: error for name, error in errors.items() if error is not None},
    )


def _merged(one: Readiness, other: Readiness) -> Readiness:
    return Readiness({**one.checks, **other.checks}, {**one.details, **other.details})


def _error_of(check: Check) -> str | None:
    try:
        check()
    except Exception as error:  # noqa: BLE001 - whatever a check raises is what it has found
        return str(error)
    return None
