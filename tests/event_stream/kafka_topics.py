"""Topics and groups of their own for the tests on a real Kafka."""

import contextlib
import uuid
from collections.abc import Iterator

from kafka.admin import KafkaAdminClient, NewTopic

from event_stream.conf import Binding, ConsumerSettings


@contextlib.contextmanager
def admin(servers: str) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=servers.split(","))
    try:
        yield client
    finally:
        client.close()


def new_topic(servers: str, partitions: int, configs: dict[str, str] | None = None) -> str:
    """The name of a topic that is there from now on."""
    name = f"test-{uuid.uuid4()}"
    with admin(servers) as client:
        client.create_topics([NewTopic(name, partitions, 1, topic_configs=configs or {})])
    return name


def new_binding(servers: str, partitions: int, consumer: ConsumerSettings | None = None) -> Binding:
    """To a topic of its own, for a group of its own."""
    topic = new_topic(servers, partitions)
    return Binding("test", topic, "kafka", group=f"group-of-{topic}", consumer=consumer or ConsumerSettings())
