"""The same behaviour in memory, on a real Kafka and on a real Redis."""

import uuid

import pytest

from event_stream.binders.kafka import KafkaBinder
from event_stream.binders.memory import MemoryBinder
from event_stream.binding import Binding
from event_stream.testing.conformance import PARTITIONS, BinderConformance, Harness
from tests.event_stream import redis_streams
from tests.event_stream.kafka_topics import new_binding


class TestMemory(BinderConformance):
    @pytest.fixture
    def harness(self) -> Harness:
        binder = MemoryBinder("memory", {"partitions": PARTITIONS})
        return Harness(binder, lambda: Binding("test", f"d-{uuid.uuid4()}", "memory", group="readers"))


class TestKafka(BinderConformance):
    @pytest.fixture
    def harness(self, kafka_bootstrap_servers: str) -> Harness:
        binder = KafkaBinder("kafka", {"bootstrap_servers": kafka_bootstrap_servers})
        return Harness(binder, lambda: new_binding(kafka_bootstrap_servers, PARTITIONS))


class TestRedisStreams(BinderConformance):
    @pytest.fixture
    def harness(self, event_redis_url: str) -> Harness:
        return Harness(redis_streams.making(event_redis_url, PARTITIONS), redis_streams.new_binding)
