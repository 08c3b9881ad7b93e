"""Where a key goes: Kafka's own numbers, and what a broker's partitions say."""

import uuid

import pytest

from event_stream.binders.kafka.binder import KafkaBinder
from event_stream.messaging.message import ProducerRecord
from event_stream.messaging.partitioner import murmur2, partition_for
from tests.event_stream.kafka_topics import new_binding


# From Apache Kafka's UtilsTest.testMurmur2, whose numbers are signed.
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_is_kafkas_murmur2(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected & 0xFFFFFFFF


@pytest.mark.parametrize("partitions", [1, 3, 6])
def test_agrees_with_where_messages_really_go(kafka_bootstrap_servers: str, partitions: int) -> None:
    binding = new_binding(kafka_bootstrap_servers, partitions)
    producer = KafkaBinder("kafka", {"bootstrap_servers": kafka_bootstrap_servers}).producer(binding)
    keys = [str(uuid.uuid4()).encode() for _ in range(50)] + [b"a" * length for length in range(1, 9)]
    sent = [producer.send(ProducerRecord(binding.destination, key, b"v")) for key in keys]
    assert [each.result(20).partition for each in sent] == [partition_for(key, partitions) for key in keys]
    producer.close(5)
