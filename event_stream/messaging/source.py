"""A source: what application code sends with. It knows no platform."""

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from event_stream.messaging.binder import Delivery
from event_stream.messaging.channel import Channel, registry
from event_stream.messaging.converters import encode
from event_stream.messaging.message import Message, ProducerRecord, RecordMetadata


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Serializes messages and publishes them to the channel of a binding."""

    binding_name: str

    def send(self, message: Message[Any], *, partition: int | None = None) -> "Future[RecordMetadata]":
        """Publish one message; the future ends with the receipt or a PublishError.

        It goes with the binding's content type and the headers of the user context, neither of which takes the place of
        a header that the message brings. Raises ConversionError for a payload that its content type can't express.
        """
        channel = self.channel
        record = encode(channel.binding, message)
        return channel.publish(record if partition is None else dataclasses.replace(record, partition=partition))

    def encode(self, message: Message[Any], context: Mapping[str, str] | None = None) -> ProducerRecord:
        """Serialize one message for `send_all`; `context` as in `converters.encode`. Raises ConversionError."""
        return encode(self.channel.binding, message, context)

    def send_all(self, records: Sequence[ProducerRecord]) -> Sequence[Delivery]:
        """Publish records in their order, up to the first that fails at once and may be sent again."""
        return self.channel.publish_all(records)

    def partition_count(self) -> int:
        """How many partitions the destination has. Raises UnavailableError when the platform can't be asked."""
        return self.channel.partition_count()

    @property
    def channel(self) -> Channel:
        return registry().channel(self.binding_name)


def source(binding_name: str) -> Source:
    """The source for a binding of EVENT_STREAM. Looked up when it first sends, so a module may make one on import."""
    return Source(binding_name)
