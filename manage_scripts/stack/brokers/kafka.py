"""Kafka, as the carrier of the services' messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from event_stream.message import Record
from manage_scripts.stack.topics import Topic, create_topics


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

    def poll(self, timeout_s: float) -> Sequence[Record]:
        polled = self._consumer.poll(timeout_ms=int(timeout_s * 1000))
        return [
            Record(each.topic, each.partition, each.offset, each.key, each.value, tuple(each.headers), each.timestamp)
            for records in polled.values()
            for each in records
        ]

    def close(self) -> None:
        self._consumer.close()
