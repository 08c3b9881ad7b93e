"""The same behaviour in memory and on real brokers."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from urllib.parse import urlsplit, urlunsplit

import pytest

from devstack.kafka import Kafka
from devstack.ports import free_port
from event_stream.binders.kafka.binder import KafkaBinder
from event_stream.binders.memory import MemoryBinder
from event_stream.binders.rabbitmq.binder import RabbitBinder
from event_stream.conf import Binding, ConsumerSettings
from event_stream.testing.conformance import PARTITIONS, BinderConformance, Harness, OnABench
from event_stream.testing.conformance_faults import OutageConformance
from tests.event_stream import redis_streams
from tests.event_stream.kafka_topics import new_binding
from tests.event_stream.leaks import failed_connections, lets_sockets_leak
from tests.faults.link import Link

# A dead member is known by its silence. Kafka takes no less than this.
KAFKA_SETTINGS = ConsumerSettings(properties={"session_timeout_ms": 6_000})
REDIS_SETTINGS = ConsumerSettings(properties={"session_timeout_ms": 2_000})


class TestMemory(BinderConformance):
    @pytest.fixture
    def harness(self) -> Harness:
        binder = MemoryBinder("memory", {"partitions": PARTITIONS})
        return Harness(binder, lambda: Binding("test", f"d-{uuid.uuid4()}", "memory", group="readers"))


@lets_sockets_leak
class TestKafka(BinderConformance):
    @pytest.fixture
    def harness(self, kafka_bootstrap_servers: str) -> Iterator[Harness]:
        remake = partial(KafkaBinder, "kafka", {"bootstrap_servers": kafka_bootstrap_servers})
        away = {"bootstrap_servers": f"127.0.0.1:{free_port()}", "bootstrap_timeout_ms": 300}
        with failed_connections():
            yield Harness(
                remake(),
                lambda: new_binding(kafka_bootstrap_servers, PARTITIONS, KAFKA_SETTINGS),
                remake=remake,
                away=partial(KafkaBinder, "kafka", away),
            )


@lets_sockets_leak
class TestKafkaThatIsCutOff(OutageConformance, OnABench):
    """A Kafka of its own, which is stopped: its clients go where it says that it is, and past any link."""

    @pytest.fixture
    def harness(self, kafka_bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
        with Kafka(tmp_path_factory.mktemp("kafka") / "kafka") as kafka, failed_connections():

            @contextmanager
            def cut() -> Iterator[None]:
                kafka.stop()
                yield
                kafka.start()

            binder = KafkaBinder("kafka", {"bootstrap_servers": kafka.bootstrap_servers})
            yield Harness(binder, lambda: new_binding(kafka.bootstrap_servers, PARTITIONS), cut=cut, patience_s=60)


class TestRedisStreams(BinderConformance):
    @pytest.fixture
    def harness(self, event_redis_url: str) -> Iterator[Harness]:
        url = urlsplit(event_redis_url)
        with Link(url.netloc) as link:

            @contextmanager
            def cut() -> Iterator[None]:
                link.cut()
                yield
                link.open()

            linked = urlunsplit(url._replace(netloc=link.address))
            yield Harness(
                redis_streams.making(linked, PARTITIONS),
                lambda: redis_streams.new_binding(REDIS_SETTINGS),
                remake=partial(redis_streams.making, event_redis_url, PARTITIONS),
                away=partial(redis_streams.making, f"redis://127.0.0.1:{free_port()}/0", PARTITIONS),
                cut=cut,
            )


def rabbit_at(url: str, port: int | None = None) -> RabbitBinder:
    """There, or at another port."""
    there = urlsplit(url)
    if port is not None:
        there = there._replace(netloc=there.netloc.replace(f":{there.port}", f":{port}"))
    return RabbitBinder("rabbitmq", {"url": urlunsplit(there), "partitions": PARTITIONS})


class TestRabbitMQ(BinderConformance):
    @pytest.fixture
    def harness(self, rabbitmq_url: str) -> Iterator[Harness]:
        url = urlsplit(rabbitmq_url)
        with failed_connections(), Link(f"{url.hostname}:{url.port}") as link:

            @contextmanager
            def cut() -> Iterator[None]:
                link.cut()
                yield
                link.open()

            yield Harness(
                rabbit_at(rabbitmq_url, link.port),
                lambda: Binding("test", f"d-{uuid.uuid4()}", "rabbitmq", group="readers"),
                remake=partial(rabbit_at, rabbitmq_url),
                away=partial(rabbit_at, rabbitmq_url, free_port()),
                cut=cut,
            )
