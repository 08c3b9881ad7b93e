"""Why brokers don't let us in. kafka-python tries again and again, and raises no more than that time is up.

A refusal is told of once, as `kafka.refused`, and `kafka.accepted` when it is over: trying again does not mend a
password. What may pass by itself, a broker that is away, is only kept for the text of the error.
"""

import logging
from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

from kafka.errors import (
    AuthorizationError,
    InvalidReceiveError,
    KafkaConnectionError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)

logger = logging.getLogger("event_stream.binders.kafka")


class Refusals:
    """Watches the connections of one producer or consumer, by attributes of kafka-python's that it does not promise."""

    def __init__(self, properties: Mapping[str, Any]) -> None:
        self._properties = properties
        self._latest: str | None = None
        self._refused: str | None = None

    @property
    def hint(self) -> str:
        """Why there is no connection, to be put behind a sentence; nothing where there is one."""
        why = self._refused or self._latest
        return "" if why is None else f" ({why})"

    def watch(self, network: Any) -> None:
        """`network` is a new `kafka_client`."""
        manager = network._manager
        get_connection = manager.get_connection
        watched: WeakSet[Any] = WeakSet()

        def get_watched(*args: Any, **options: Any) -> Any:
            connection = get_connection(*args, **options)
            if connection not in watched:
                watched.add(connection)
                self._attend(connection)
            return connection

        manager.get_connection = get_watched

    def _attend(self, connection: Any) -> None:
        connection_made = connection.connection_made

        def made(transport: Any) -> None:
            _keep_last_words(transport)
            connection_made(transport)

        connection.connection_made = made
        connection.init_future.add_callback(lambda _: self._let_in())
        connection.init_future.add_errback(self._turned_away)

    def _let_in(self) -> None:
        self._latest = None
        if self._refused is not None:
            self._refused = None
            logger.info("kafka.accepted", extra={"servers": self._properties["bootstrap_servers"]})

    def _turned_away(self, error: Exception) -> None:
        refusal = self._explained(error)
        self._latest = refusal or str(error)
        if refusal is not None and refusal != self._refused:
            self._refused = refusal
            servers = self._properties["bootstrap_servers"]
            logger.error("kafka.refused", extra={"servers": servers, "reason": refusal})

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


def _keep_last_words(transport: Any) -> None:
    """kafka-python (3.0.12) throws away what comes together with the end of a connection: a broker's reason for it."""
    receive = transport._sock_recv

    def receive_first(*args: Any) -> Any:
        data, error = receive(*args)
        return (data, None) if data else (data, error)

    transport._sock_recv = receive_first
