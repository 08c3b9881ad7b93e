"""RabbitMQ, as the carrier of the services' messages."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pika
from pika.exceptions import AMQPError

from event_stream.binders.rabbitmq.properties import binder_properties
from event_stream.binders.rabbitmq.records import as_record
from event_stream.errors import ConfigurationError
from event_stream.message import Record
from manage_scripts.stack.errors import StackError
from manage_scripts.stack.topics import DEFINITIONS, Topic, read_topics


def connect(url: str) -> pika.BlockingConnection:
    """Without heartbeats, as it may lie idle. Raises AMQPError, OSError, and ConfigurationError for what is no URL."""
    brokers = binder_properties({"url": url})["brokers"]
    for parameters in brokers:
        parameters.heartbeat = 0
    return pika.BlockingConnection(brokers)


def answers(url: str) -> bool:
    """Whether one of these, with commas between them, lets us in. Waits for a few seconds at most."""
    try:
        connect(url).close()
    except (AMQPError, OSError, ConfigurationError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class RabbitBroker:
    """At `url`, of several nodes with commas between them."""

    url: str

    @property
    def address(self) -> str:
        return self.url

    @property
    def environment(self) -> Mapping[str, str]:
        return {"EVENT_BINDER": "rabbitmq", "RABBITMQ_URL": self.url}

    @property
    def properties(self) -> Mapping[str, Any]:
        return {"type": "rabbitmq", "url": self.url, "partitions": read_topics(DEFINITIONS)[0].partitions}

    def create_topics(self, topics: Sequence[Topic]) -> list[str]:
        """Only looks whether RabbitMQ is there.

        A queue is its group's, with its consumer's settings: whoever joins first declares it. The relay keeps until
        then what it has.
        """
        try:
            connect(self.url).close()
        except (AMQPError, OSError, ConfigurationError) as error:
            raise StackError(f"RabbitMQ can't be reached: {error!r}.") from error
        return [f"{topic.name}: nothing to do, it is declared by those who use it" for topic in topics]

    def tail(self, topic: str) -> "RabbitTail":
        return RabbitTail(self.url, topic, self.properties["partitions"])


class RabbitTail:
    """A queue of its own, which is gone with its connection, for every partition."""

    def __init__(self, url: str, topic: str, partitions: int) -> None:
        self._topic = topic
        self._connection = connect(url)
        self._channel = self._connection.channel()
        self._channel.exchange_declare(topic, "direct", durable=True)
        self._queue: str = self._channel.queue_declare("", exclusive=True).method.queue
        for partition in range(partitions):
            self._channel.queue_bind(self._queue, topic, str(partition))

    def poll(self, timeout_s: float) -> Sequence[Record]:
        deadline = time.monotonic() + timeout_s
        found: list[Record] = []
        while not found and time.monotonic() < deadline:
            while (message := self._channel.basic_get(self._queue, auto_ack=True))[0] is not None:
                method, properties, body = message
                found.append(as_record(self._topic, int(method.routing_key), properties, body, 0))
            if not found:
                self._connection.process_data_events(0.02)
        return found

    def close(self) -> None:
        # The broker may have gone first, and has taken the queue along.
        with suppress(AMQPError):
            self._connection.close()
