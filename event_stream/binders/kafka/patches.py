"""Every use of private attributes of kafka-python in this binder, each with the upstream fault that it works around.

Nothing else in this package touches private attributes of kafka-python. The tests of this module do what a patch is for
with and without the patch: one that fails without says that upstream has fixed the fault, and the patch can go.

Tested with kafka-python 3.0.12. An older one is refused, a newer one is logged as `kafka.untested_version`: it may have
moved what is patched here.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakSet

import kafka
from kafka.errors import KafkaError, NodeNotReadyError, UnknownBrokerIdError

from event_stream.errors import ConfigurationError

logger = logging.getLogger("event_stream.binders.kafka")

TESTED_VERSION = "3.0.12"


def check_version(installed: str) -> None:
    """Raises ConfigurationError for a kafka-python that is older than the one that the patches are for."""
    if _numbers(installed) < _numbers(TESTED_VERSION):
        raise ConfigurationError(f" needs kafka-python {TESTED_VERSION} or newer; {installed} is installed")
    if _numbers(installed) > _numbers(TESTED_VERSION):
        extra = {"installed": installed, "tested": TESTED_VERSION}
        logger.warning("kafka.untested_version", extra=extra)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


check_version(kafka.__version__)


def pass_on_auto_create(network: Any, configs: Mapping[str, Any]) -> None:
    """A client takes `allow_auto_create_topics` and does not pass it on to its cluster, which goes on making topics."""
    network.cluster.config["allow_auto_create_topics"] = configs.get("allow_auto_create_topics", False)


def wait_for_missing_brokers(network: Any) -> None:
    """A broker that was just taken for dead may still be known as a leader, and asking for it raises an error.

    The error ends whoever polls, and leaves in a producer what was to be sent. Such a broker is now waited for like one
    that is away.
    """
    manager = network._manager
    get_connection = manager.get_connection

    def get_known(*args: Any, **options: Any) -> Any:
        try:
            return get_connection(*args, **options)
        except UnknownBrokerIdError as error:
            manager.cluster.request_update()
            raise NodeNotReadyError(f"there is no broker {error} at the moment") from error

    manager.get_connection = get_known


def watch_connections(network: Any, watch: Callable[[Any, str | None], None]) -> None:
    """A client that is not let in tells no more than that its time is up. `watch` is given each of its connections.

    With it comes the address (host:port) that the cluster advertises for the broker; None for one of the settings.
    """
    manager = network._manager
    get_connection = manager.get_connection
    watched: WeakSet[Any] = WeakSet()

    def get_watched(*args: Any, **options: Any) -> Any:
        connection = get_connection(*args, **options)
        if connection not in watched:
            watched.add(connection)
            node = manager.cluster.broker_metadata(connection.node_id)
            is_ours = node is None or manager.cluster.is_bootstrap(connection.node_id)
            watch(connection, None if is_ours else f"{node.host}:{node.port}")
        return connection

    manager.get_connection = get_watched


def keep_last_words(connection: Any) -> None:
    """What comes together with the end of a connection is thrown away, and with it a broker's reason for the end."""
    connection_made = connection.connection_made

    def made(transport: Any) -> None:
        receive_before_end(transport)
        connection_made(transport)

    connection.connection_made = made


def receive_before_end(transport: Any) -> None:
    """See `keep_last_words`: the end is told once there is nothing before it."""
    receive = transport._sock_recv

    def receive_first(*args: Any) -> Any:
        data, error = receive(*args)
        return (data, None) if data else (data, error)

    transport._sock_recv = receive_first


_GATHER_MS = 100


@contextmanager
def gathered(client: Any, linger_ms: int) -> Iterator[None]:
    """Have what is sent meanwhile go in as few requests as possible, and at once afterwards.

    `linger_ms` is the producer's own. Without one, the sender's thread takes each record as it comes, a few at a time,
    and half of the time goes into the many requests; with one, a message that is alone would wait for it. kafka-python
    knows no linger for a part of the messages, and its flush waits for the acknowledgements.
    """
    settings = client._accumulator.config
    settings["linger_ms"] = max(linger_ms, _GATHER_MS)
    try:
        yield
    finally:
        settings["linger_ms"] = linger_ms
        client._sender.wakeup()


def knows_topic(client: Any, topic: str) -> bool:
    """A consumer's `partitions_for_topic` asks a broker. This looks at what it has been told by now."""
    return client._cluster.partitions_for_topic(topic) is not None


def free_used_up_records(client: Any) -> None:
    """A partition that is resumed may never be read again.

    The fetcher parks what it has buffered of a paused partition, does not fetch a partition that has parked records,
    and returns them only while no other partition's records are in hand. Used-up records stay in hand for good. Call
    this before each poll.
    """
    if not client._fetcher._next_partition_records:
        client._fetcher._next_partition_records = None


def rejoin_after_revocation(client: Any) -> None:
    """A rebalance that a change of the topic's metadata has caused is forgotten if it takes longer than a poll.

    The member is then in no group and never joins again. Kafka's own client had the same mistake (KAFKA-9815) and the
    same remedy.
    """
    client._coordinator.request_rejoin()


def force_close(client: Any, *, leave_timeout_ms: int = 0) -> None:
    """Give up a client with all that it has under way.

    A producer's `close()` waits for what is under way, or raises and closes nothing. Told to force it, the sender's
    thread fails everything and ends; that may be the thread we are on, so another one waits for it and tidies up.
    A consumer's raises where it never joined: there is nothing to leave then.
    """
    if isinstance(client, kafka.KafkaConsumer):
        with suppress(KafkaError):
            client.close(autocommit=False, timeout_ms=leave_timeout_ms)
        return
    client._sender.force_close()

    def tidy_up() -> None:
        client._sender.join()
        client.close(timeout=0)

    threading.Thread(target=tidy_up, name="kafka-force-close", daemon=True).start()
