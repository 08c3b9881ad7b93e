"""The RabbitMQ binder, on pika: a quorum queue for each group and partition of a destination.

Its entry in EVENT_STREAM["binders"] is {"type": "rabbitmq", "url": "amqp://user:password@host:5672/vhost"}, of several
nodes a list or with commas between them; amqps:// takes "ssl_cafile", "ssl_certfile" and "ssl_keyfile". "partitions"
(6) must be the same for all who use a destination. `properties` has the rest, and what a binding's "producer" and
"consumer" take in their "properties". It declares what it needs: see `topology`.

RabbitMQ keeps nothing that was handled. A group gets what is sent once it has been declared, which is when its first
member joins; what is sent before there is any group is refused, and the outbox keeps it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from event_stream.binders.rabbitmq import settings as checked
from event_stream.binders.rabbitmq.admin import describe, history
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
        own = checked.consumer_properties(self._properties, binding)
        return RabbitConsumer(self._properties["brokers"], own, binding, listener)

    def read(self, binding: Binding) -> Iterator[ConsumerRecord]:
        """A journal. Of any other destination nothing is kept."""
        if not binding.journal:
            raise UnavailableError(f"{binding.destination!r} is no journal: RabbitMQ keeps nothing that was handled")
        return history(self._properties["brokers"], binding.destination)

    def describe(self, binding: Binding) -> Description:
        return describe(self._properties["brokers"], self._properties["partitions"], binding)

    def limits(self, binding: Binding) -> Limits:
        """A thread of its own keeps a member's connection, whatever the member does; the broker's patience it hides."""
        producer = checked.producer_properties(self._properties, binding)
        parking_ms = producer["max_block_ms"] + producer["delivery_timeout_ms"]
        return Limits(new_group_reads_all=False, parking_s=parking_ms / 1000)
