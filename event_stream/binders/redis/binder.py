"""The Redis Streams binder, on redis-py.

Its entry in EVENT_STREAM["binders"] is {"type": "redis", "url": "redis://host:6379/0"}; `settings` has the other
keys of the binder, and those of "properties" in a binding's "producer" and "consumer". A partition is a stream. Its
offsets are times in microseconds, so there are gaps between them. No offset is ever used again, even if Redis has lost
its data.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from event_stream.binders.redis import settings as checked
from event_stream.binders.redis.admin import describe, read_destination
from event_stream.binders.redis.connection import Server
from event_stream.binders.redis.consumer import RedisConsumer
from event_stream.binders.redis.producer import RedisProducer
from event_stream.conf import Binding
from event_stream.messaging.binder import Capabilities, Consumer, Description, Limits, Producer, RebalanceListener
from event_stream.messaging.message import ConsumerRecord


class RedisBinder:
    """A Redis or Valkey, 7 or newer. Nothing connects before it is used."""

    capabilities = Capabilities(seekable=True, retained=True, partitioned=True, ordered=True, batched=True)

    def __init__(self, name: str, properties: Mapping[str, Any]) -> None:
        self.name = name
        self._properties = checked.binder_properties(properties)

    def check(self, binding: Binding) -> None:
        checked.check_destination(binding.destination)
        checked.producer_properties(binding)
        checked.consumer_properties(binding)

    def producer(self, binding: Binding) -> Producer:
        properties = checked.producer_properties(binding)
        return RedisProducer(self._server(properties), properties)

    def consumer(self, binding: Binding, listener: RebalanceListener) -> Consumer:
        properties = checked.consumer_properties(binding)
        return RedisConsumer(self._server(properties), binding.destination, binding.group or "", listener, properties)

    def read(self, binding: Binding) -> Iterator[ConsumerRecord]:
        return read_destination(self._server(checked.producer_properties(binding)), binding.destination)

    def describe(self, binding: Binding) -> Description:
        producer, consumer = checked.producer_properties(binding), checked.consumer_properties(binding)
        return describe(self._server(producer), binding, producer, consumer)

    def limits(self, binding: Binding) -> Limits:
        producer, consumer = checked.producer_properties(binding), checked.consumer_properties(binding)
        parking_ms = producer["max_block_ms"] + producer["connect_timeout_ms"] + producer["request_timeout_ms"]
        return Limits(
            new_group_reads_all=True,
            poll_budget_s=consumer["max_poll_interval_ms"] / 1000,
            parking_s=parking_ms / 1000,
        )

    def _server(self, properties: Mapping[str, Any]) -> Server:
        return Server(
            self._properties,
            connect_timeout_ms=properties["connect_timeout_ms"],
            request_timeout_ms=properties["request_timeout_ms"],
        )
