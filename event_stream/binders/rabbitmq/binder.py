"""The RabbitMQ binder, on pika: a quorum queue for each group and partition of a destination.

Its entry in EVENT_STREAM["binders"] is {"type": "rabbitmq", "url": "amqp://user:password@host:5672/vhost"}. For several
nodes, "url" is a list, or has commas between the URLs. amqps:// takes "ssl_cafile", "ssl_certfile" and "ssl_keyfile".
All processes that use a destination need the same number of "partitions" (6). `settings` has the other keys, and those
of "properties" in a binding's "producer" and "consumer". The binder declares what it needs: see `topology`.

RabbitMQ keeps nothing that was handled. A group receives messages from the time its first member declares it. Messages
sent before there is any group are refused, and the outbox keeps them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from event_stream.binders.rabbitmq import settings as checked
from event_stream.binders.rabbitmq.admin import describe, read_journal
from event_stream.binders.rabbitmq.consumer import RabbitConsumer
from event_stream.binders.rabbitmq.producer import RabbitProducer
from event_stream.conf import Binding
from event_stream.errors import UnavailableError
from event_stream.messaging.binder import Capabilities, Consumer, Description, Limits, Producer, RebalanceListener
from event_stream.messaging.message import ConsumerRecord


class RabbitBinder:
    """A RabbitMQ broker or cluster. Nothing connects before it is used."""

    capabilities = Capabilities(seekable=False, retained=False, partitioned=True, ordered=True, batched=True)

    def __init__(self, name: str, properties: Mapping[str, Any]) -> None:
        self.name = name
        self._properties = checked.binder_properties(properties)

    def check(self, binding: Binding) -> None:
        checked.check_names(binding)
        checked.producer_properties(self._properties, binding)
        checked.consumer_properties(self._properties, binding)

    def producer(self, binding: Binding) -> Producer:
        return RabbitProducer(
            self._properties["brokers"], checked.producer_properties(self._properties, binding), binding
        )

    def consumer(self, binding: Binding, listener: RebalanceListener) -> Consumer:
        properties = checked.consumer_properties(self._properties, binding)
        return RabbitConsumer(self._properties["brokers"], properties, binding, listener)

    def read(self, binding: Binding) -> Iterator[ConsumerRecord]:
        """Read a journal. Raises UnavailableError for any other destination: RabbitMQ keeps nothing of it."""
        if not binding.journal:
            raise UnavailableError(f"{binding.destination!r} is no journal: RabbitMQ keeps nothing that was handled")
        return read_journal(self._properties["brokers"], binding.destination)

    def describe(self, binding: Binding) -> Description:
        return describe(self._properties["brokers"], self._properties["partitions"], binding)

    def limits(self, binding: Binding) -> Limits:
        """Return no poll budget: a separate thread keeps a member's connection alive while the member is busy."""
        producer = checked.producer_properties(self._properties, binding)
        parking_ms = producer["max_block_ms"] + producer["delivery_timeout_ms"]
        return Limits(new_group_reads_all=False, parking_s=parking_ms / 1000)
