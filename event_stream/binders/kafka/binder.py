"""The Kafka binder, on kafka-python.

Its entry in EVENT_STREAM["binders"] is {"type": "kafka", "bootstrap_servers": ["host:port", ...]} and any setting that
kafka-python's clients share (security_protocol, sasl_mechanism, ssl_cafile, ...). A binding's "producer" and "consumer"
take further ones in their "properties". What the guarantees of this package rest on (acks, idempotence, no auto commit)
can't be set.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from event_stream.binders.kafka import settings as checked
from event_stream.binders.kafka.admin import describe
from event_stream.binders.kafka.consumer import KafkaConsumer, read_topic
from event_stream.binders.kafka.producer import KafkaProducer
from event_stream.conf import Binding
from event_stream.messaging.binder import Capabilities, Consumer, Description, Limits, Producer, RebalanceListener
from event_stream.messaging.message import ConsumerRecord


class KafkaBinder:
    """A Kafka cluster. Nothing connects before it is used."""

    capabilities = Capabilities(
        seekable=True, retained=True, partitioned=True, ordered=True, batched=True, counted=True
    )

    def __init__(self, name: str, properties: Mapping[str, Any]) -> None:
        self.name = name
        self._properties = checked.binder_properties(properties)

    def check(self, binding: Binding) -> None:
        checked.check_destination(binding.destination)
        checked.producer_properties(self._properties, binding.producer.properties)
        checked.consumer_properties(self._properties, binding)

    def producer(self, binding: Binding) -> Producer:
        return KafkaProducer(checked.producer_properties(self._properties, binding.producer.properties))

    def consumer(self, binding: Binding, listener: RebalanceListener) -> Consumer:
        return KafkaConsumer(checked.consumer_properties(self._properties, binding), binding.destination, listener)

    def read(self, binding: Binding) -> Iterator[ConsumerRecord]:
        return read_topic(checked.consumer_properties(self._properties, binding), binding.destination)

    def describe(self, binding: Binding) -> Description:
        client_id = checked.consumer_properties(self._properties, binding)["client_id"]
        return describe(self._properties, binding, client_id)

    def limits(self, binding: Binding) -> Limits:
        consumer = checked.consumer_properties(self._properties, binding)
        producer = checked.producer_properties(self._properties, binding.producer.properties)
        return Limits(
            new_group_reads_all=consumer["auto_offset_reset"] == "earliest",
            poll_budget_s=consumer["max_poll_interval_ms"] / 1000,
            parking_s=(producer["max_block_ms"] + producer["delivery_timeout_ms"]) / 1000,
        )
