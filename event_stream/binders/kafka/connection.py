"""A kafka-python client that connects when it is first needed, on a thread of its own.

kafka-python's constructors wait for a broker and raise when none answers. Here neither making a producer nor polling
waits longer than it was told to, and a broker that is away is looked for again each time somebody asks.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

import kafka
from kafka.errors import (
    AuthorizationError,
    InvalidReceiveError,
    KafkaConfigurationError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)

from event_stream.binders.kafka import patches
from event_stream.errors import ConfigurationError, UnavailableError
from event_stream.outage_log import OutageLog

C = TypeVar("C")
logger = logging.getLogger("event_stream.binders.kafka")


class Connection(Generic[C]):
    """`make(kafka_client=...)` constructs the client, `discard` ends one that is no longer wanted.

    `properties` are those that the client is made with.
    """

    def __init__(self, make: Callable[..., C], discard: Callable[[C], None], properties: Mapping[str, Any]) -> None:
        self._make = make
        self._discard = discard
        self._servers = properties["bootstrap_servers"]
        self._refusals = ConnectionErrorMonitor(properties)
        self._lock = threading.Lock()
        self._attempt: Future[C] | None = None

    def get(self, timeout_s: float) -> C:
        """The client, connected. Raises UnavailableError where no broker has answered in that time."""
        attempt = self._current_attempt()
        try:
            return attempt.result(timeout_s)
        except TimeoutError as error:
            raise UnavailableError(
                f"no Kafka broker of {self._servers} has answered yet{self._refusals.hint}"
            ) from error
        except (KafkaConfigurationError, ValueError, AssertionError) as error:
            raise ConfigurationError(f"kafka-python refuses its settings: {error}") from error
        except (KafkaError, OSError) as error:
            self._forget(attempt)
            text = f"no Kafka broker of {self._servers} answers: {error}{self._refusals.hint}"
            raise UnavailableError(text) from error

    @property
    def hint(self) -> str:
        """Why a broker can't be reached, to be put behind a sentence; nothing where none is known."""
        return self._refusals.hint

    def connected(self) -> C | None:
        """The client if there is one by now."""
        with self._lock:
            attempt = self._attempt
        return attempt.result() if attempt is not None and _succeeded(attempt) else None

    def forget(self, client: C | None = None) -> bool:
        """Connect again the next time and discard what there is. With a client, only if that one is still in use.

        Whether there was anything to forget.
        """
        with self._lock:
            attempt = self._attempt
        if attempt is None or (client is not None and not (_succeeded(attempt) and attempt.result() is client)):
            return False
        return self._forget(attempt)

    def _forget(self, attempt: "Future[C]") -> bool:
        with self._lock:
            if self._attempt is not attempt:
                return False
            self._attempt = None
        attempt.add_done_callback(lambda done: self._discard(done.result()) if _succeeded(done) else None)
        return True

    def _current_attempt(self) -> "Future[C]":
        with self._lock:
            if self._attempt is None:
                self._attempt = Future()
                # A daemon: a process that has been told to stop does not wait for a broker that may never answer.
                threading.Thread(target=self._connect, args=(self._attempt,), name="kafka-connect", daemon=True).start()
            return self._attempt

    def _connect(self, attempt: "Future[C]") -> None:
        network: list[Any] = []

        def kafka_client(**configs: Any) -> Any:
            network.append(kafka.KafkaConsumer.DEFAULT_CONFIG["kafka_client"](**configs))
            patches.pass_on_auto_create(network[0], configs)
            patches.wait_for_missing_brokers(network[0])
            patches.watch_connections(network[0], self._refusals.watch)
            return network[0]

        try:
            client = self._make(kafka_client=kafka_client)
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            # The constructor leaves its sockets and its thread behind when it raises.
            for opened in network:
                opened.close()
            attempt.set_exception(error)
        else:
            attempt.set_result(client)


def _succeeded(attempt: "Future[C]") -> bool:
    return attempt.done() and attempt.exception() is None


class ConnectionErrorMonitor:
    """Why brokers don't let us in: watches the connections of one producer or consumer.

    kafka-python tries again and again, and raises no more than that time is up. A refusal is logged once, as
    `kafka.refused`, and as `kafka.accepted` when it is over: retrying does not fix a password. So is an address that
    the cluster advertises and that was never reached, as `kafka.advertised_unreachable`, with an end in
    `kafka.advertised_reachable`. What may pass by itself, such as a broker that is away, is only kept for the text of
    the error.
    """

    def __init__(self, properties: Mapping[str, Any]) -> None:
        self._properties = properties
        self._latest: str | None = None
        self._refused: str | None = None
        self._reached: set[str] = set()
        self._unreachable: dict[str, str] = {}
        self._advertised = OutageLog(
            logger,
            began="kafka.advertised_unreachable",
            ended="kafka.advertised_reachable",
            level=logging.ERROR,
            cause_field="address",
            fields={"servers": properties["bootstrap_servers"]},
        )

    @property
    def hint(self) -> str:
        """Why there is no connection, to be put behind a sentence; nothing where there is one."""
        why = self._refused or "; ".join(self._unreachable.values()) or self._latest
        return "" if why is None else f" ({why})"

    def watch(self, connection: Any, advertised: str | None) -> None:
        """`connection` is a new one of the client, to the address that the cluster advertises or to one of ours."""
        patches.keep_last_words(connection)
        connection.init_future.add_callback(lambda _: self._let_in(advertised))
        connection.init_future.add_errback(lambda error: self._turned_away(error, advertised))

    def _let_in(self, advertised: str | None) -> None:
        self._latest = None
        if advertised is not None:
            self._reached.add(advertised)
            self._unreachable.pop(advertised, None)
            self._advertised.succeeded(advertised)
        if self._refused is not None:
            self._refused = None
            logger.info("kafka.accepted", extra={"servers": self._properties["bootstrap_servers"]})

    def _turned_away(self, error: Exception, advertised: str | None) -> None:
        refusal = self._explained(error)
        if refusal is None and advertised is not None and advertised not in self._reached:
            # One that was reached is only away.
            reason = (
                f"the cluster answers, and advertises a broker at {advertised}, which can't be reached from here: "
                f"correct the broker's advertised.listeners, or the way to there ({error})"
            )
            self._unreachable[advertised] = reason
            self._advertised.failed(reason, advertised)
            return
        self._latest = refusal or str(error)
        if refusal is not None and refusal != self._refused:
            self._refused = refusal
            servers = self._properties["bootstrap_servers"]
            logger.error("kafka.refused", extra={"servers": servers, "error": refusal})

    def _explained(self, error: Exception) -> str | None:
        """What to look at; None for what may pass."""
        mechanism, user = self._properties.get("sasl_mechanism"), self._properties.get("sasl_plain_username")
        if isinstance(error, SaslAuthenticationFailedError):
            return f"the login of {user!r} by {mechanism} is refused: is there such a user, with this password? {error}"
        if isinstance(error, UnsupportedSaslMechanismError):
            return f"logins by {mechanism} are not taken: which are, on this listener? {error}"
        if isinstance(error, KafkaConnectionError) and "SSL" in str(error):
            return (
                "no TLS comes about: is whoever signed the broker's certificate among the authorities (ssl_cafile), is "
                f"it made out to this host, and is one of our own (ssl_certfile) wanted? {error}"
            )
        if isinstance(error, InvalidReceiveError):
            protocol = self._properties.get("security_protocol", "PLAINTEXT")
            return f"what answers does not speak {protocol}: is that the security_protocol of this listener? {error}"
        return None


def denied(error: Exception) -> str:
    """What to say of an error, and of one that has to do with rights, what would help."""
    # The idempotent producer wraps it: who may write to no topic at all is told so when it asks for its id.
    if isinstance(error, AuthorizationError) or "AuthorizationFailed" in str(error):
        return f"{error}: Kafka's ACLs do not allow it to the user of this client"
    return str(error)
