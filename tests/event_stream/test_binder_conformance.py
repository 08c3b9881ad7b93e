"""The same behaviour in memory and on a real Kafka."""

import uuid

import pytest

from event_stream.binders.kafka import KafkaBinder
from event_stream.binders.memory import MemoryBinder
from event_stream.binding import Binding
from event_stream.testing.conformance import PARTITIONS, BinderConformance, Harness
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
