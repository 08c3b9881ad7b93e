"""A kafka-python client that connects when it is first needed, on a thread of its own.

kafka-python's constructors wait for a broker and raise when none answers. Here neither making a producer nor polling
waits longer than it was told to, and a broker that is away is looked for again each time somebody asks.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

import kafka
from kafka.errors import KafkaConfigurationError, KafkaError, NodeNotReadyError, UnknownBrokerIdError

from event_stream.binders.kafka.refusals import Refusals
from event_stream.errors import ConfigurationError, UnavailableError

C = TypeVar("C")


class Connection(Generic[C]):
    """`make(kafka_client=...)` constructs the client, `discard` ends one that is no longer wanted.

    `properties` are those that the client is made with.
    """

    def __init__(self, make: Callable[..., C], discard: Callable[[C], None], properties: Mapping[str, Any]) -> None:
        self._make = make
        self._discard = discard
        self._servers = properties["bootstrap_servers"]
        self._refusals = Refusals(properties)
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

    def connected(self) -> C | None:
        """The client if there is one by now."""
        with self._lock:
            attempt = self._attempt
        return attempt.result() if attempt is not None and _succeeded(attempt) else None

    def forget(self, client: C | None = None) -> bool:
        """Connect anew the next time and discard what there is. With a client, only if that one is still in use.

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
        attempt.add_done_callback(lambda made: self._discard(made.result()) if _succeeded(made) else None)
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
            # kafka-python (3.0.12) takes this setting and does not hand it on.
            network[0].cluster.config["allow_auto_create_topics"] = configs.get("allow_auto_create_topics", False)
            _wait_for_missing_brokers(network[0]._manager)
            self._refusals.watch(network[0])
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


def _wait_for_missing_brokers(manager: Any) -> None:
    """A broker that was just taken for dead may still be known as a leader. It is waited for like one that is away.

    kafka-python (3.0.12) raises an error there that ends whoever polls, and leaves in a producer what was to be sent.
    """
    get_connection = manager.get_connection

    def get_known(*args: Any, **options: Any) -> Any:
        try:
            return get_connection(*args, **options)
        except UnknownBrokerIdError as error:
            manager.cluster.request_update()
            raise NodeNotReadyError(f"there is no broker {error} at the moment") from error

    manager.get_connection = get_known


def _succeeded(attempt: "Future[C]") -> bool:
    return attempt.done() and attempt.exception() is None
