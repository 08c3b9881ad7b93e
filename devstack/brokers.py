"""The messaging platforms that the stack can prepare and watch: Kafka, RabbitMQ, Redis. `EVENT_BINDER` chooses one."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import pika
import redis
from kafka import KafkaConsumer, TopicPartition
from pika.exceptions import AMQPError

from devstack.errors import StackError
from devstack.topics import DEFINITIONS, Topic, create_topics, read_topics
from event_stream.binders.rabbitmq.records import as_record
from event_stream.binders.rabbitmq.settings import binder_properties
from event_stream.conf import BinderSettings
from event_stream.errors import ConfigurationError, EventStreamError
from event_stream.messaging.binder import ensure_topic
from event_stream.messaging.channel import make_binder
from event_stream.messaging.message import ConsumerRecord


class Tail(Protocol):
    """The messages of a topic since this was opened, seen by a client outside of any group. It consumes nothing."""

    def poll(self, timeout_s: float) -> Sequence[ConsumerRecord]:
        """The messages since the last call; waits for one, so long at most."""

    def close(self) -> None: ...


class Broker(Protocol):
    """A platform: where it is, and how it is spoken to."""

    @property
    def address(self) -> str:
        """Empty where there is none."""

    @property
    def environment(self) -> Mapping[str, str]:
        """For the services: EVENT_BINDER, and the variables of that binder."""

    @property
    def properties(self) -> Mapping[str, Any]:
        """An entry of EVENT_STREAM["binders"]: its type and its properties."""

    def create_topics(self, topics: Sequence[Topic]) -> list[str]:
        """Create what is missing; one line for each topic that says how it is now. Raises StackError."""

    def tail(self, topic: str) -> Tail:
        """From the present end of the topic, which has to be there. Leaves no trace on the platform."""


@dataclass(frozen=True, slots=True)
class KafkaBroker:
    """At `bootstrap_servers`, host:port between commas. `security` are kafka-python's settings for TLS and a login."""

    bootstrap_servers: str
    security: Mapping[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return self.bootstrap_servers

    @property
    def environment(self) -> Mapping[str, str]:
        return {"EVENT_BINDER": "kafka", "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers}

    @property
    def properties(self) -> Mapping[str, Any]:
        return {"type": "kafka", "bootstrap_servers": self.bootstrap_servers.split(","), **self.security}

    def create_topics(self, topics: Sequence[Topic]) -> list[str]:
        return create_topics(self.bootstrap_servers, list(topics), self.security)

    def tail(self, topic: str) -> "KafkaTail":
        return KafkaTail(topic, bootstrap_servers=self.bootstrap_servers.split(","), **self.security)


class KafkaTail:
    """kafka-python's own consumer, at the end of every partition."""

    def __init__(self, topic: str, **connection: Any) -> None:
        self._consumer = KafkaConsumer(group_id=None, enable_auto_commit=False, **connection)
        partitions = [TopicPartition(topic, number) for number in self._consumer.partitions_for_topic(topic)]
        self._consumer.assign(partitions)
        for partition, end in self._consumer.end_offsets(partitions).items():
            self._consumer.seek(partition, end)

    def poll(self, timeout_s: float) -> Sequence[ConsumerRecord]:
        polled = self._consumer.poll(timeout_ms=int(timeout_s * 1000))
        return [
            ConsumerRecord(
                record.topic,
                record.partition,
                record.offset,
                record.key,
                record.value,
                tuple(record.headers),
                record.timestamp,
            )
            for records in polled.values()
            for record in records
        ]

    def close(self) -> None:
        self._consumer.close()


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

    def poll(self, timeout_s: float) -> Sequence[ConsumerRecord]:
        deadline = time.monotonic() + timeout_s
        received: list[ConsumerRecord] = []
        while not received and time.monotonic() < deadline:
            while (message := self._channel.basic_get(self._queue, auto_ack=True))[0] is not None:
                method, properties, body = message
                received.append(as_record(self._topic, int(method.routing_key), properties, body, 0))
            if not received:
                self._connection.process_data_events(0.02)
        return received

    def close(self) -> None:
        # The broker may have gone first, and has taken the queue along.
        with suppress(AMQPError):
            self._connection.close()


@dataclass(frozen=True, slots=True)
class RedisBroker:
    """At `url`, a Redis or Valkey that forgets nothing by itself."""

    url: str

    @property
    def address(self) -> str:
        return self.url

    @property
    def environment(self) -> Mapping[str, str]:
        return {"EVENT_BINDER": "redis", "EVENT_REDIS_URL": self.url}

    @property
    def properties(self) -> Mapping[str, Any]:
        return {"type": "redis", "url": self.url}

    def create_topics(self, topics: Sequence[Topic]) -> list[str]:
        return [self._create(topic) for topic in topics]

    def tail(self, topic: str) -> "RedisTail":
        return RedisTail(self.url, topic)

    def _create(self, topic: Topic) -> str:
        """By a binder that may. Copies are a matter of the server here, and so is what is in sync."""
        retention_ms = topic.settings.get("retention.ms")
        properties: dict[str, Any] = {"url": self.url, "partitions": topic.partitions}
        properties["retention_ms"] = None if retention_ms is None else int(retention_ms)
        try:
            partitions = ensure_topic(make_binder(BinderSettings("making", "redis", properties)), topic.name)
        except EventStreamError as error:
            raise StackError(f"The topic {topic.name} can't be made: {str(error).rstrip('.')}.") from error
        if partitions != topic.partitions:
            raise StackError(
                f"The topic {topic.name} has {partitions} partitions where {topic.partitions} are wanted. That is not "
                "changed while there are events in it: make a new topic, or change topics.yaml and "
                "ORG_CHANGE_PARTITIONS together."
            )
        return f"{topic.name} is there: {partitions} partitions"


class RedisTail:
    """redis-py's own XREAD, from the newest entry of every partition's stream."""

    def __init__(self, url: str, topic: str) -> None:
        self._topic = topic
        self._client = redis.Redis.from_url(url, socket_timeout=20)
        key = f"event_stream:{{{topic}}}"
        partitions = int(cast("bytes", self._client.hget(key, "partitions")))
        self._at: dict[Any, Any] = {f"{key}:{number}": "0-0" for number in range(partitions)}
        for stream in self._at:
            for id, _ in cast("list[Any]", self._client.xrevrange(stream, count=1)):
                self._at[stream] = id

    def poll(self, timeout_s: float) -> Sequence[ConsumerRecord]:
        block = max(1, int(timeout_s * 1000))
        answer = cast("list[tuple[bytes, list[Any]]]", self._client.xread(self._at, block=block) or [])
        records: list[ConsumerRecord] = []
        for stream, entries in answer:
            name = stream.decode()
            self._at[name] = entries[-1][0]
            records += [self._record(int(name.rpartition(":")[2]), id, fields) for id, fields in entries]
        return records

    def close(self) -> None:
        self._client.close()

    def _record(self, partition: int, id: bytes, fields: Mapping[bytes, bytes]) -> ConsumerRecord:
        offset = int(id.partition(b"-")[0])
        headers = tuple((name[7:].decode(), value) for name, value in fields.items() if name.startswith(b"header:"))
        key, value = fields.get(b"key"), fields.get(b"value")
        return ConsumerRecord(self._topic, partition, offset, key, value, headers, timestamp_ms=offset // 1000)
