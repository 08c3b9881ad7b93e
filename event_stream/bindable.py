"""Source and Sink: what application code sends with and receives with. Neither knows a platform."""

import dataclasses
import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from event_stream import correlation, headers
from event_stream.binder import LogBounds
from event_stream.binding import Binding
from event_stream.channel import Channel
from event_stream.converter import converter_for
from event_stream.errors import ConversionError, RejectedError
from event_stream.handler import Batch, Handled
from event_stream.message import Message, OutboundRecord, Receipt, Record
from event_stream.registry import registry

logger = logging.getLogger("event_stream.sink")


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Serializes messages and publishes them to the channel of a binding."""

    binding_name: str

    def send(self, message: Message[Any], *, partition: int | None = None) -> "Future[Receipt]":
        """Publish one message; the future ends with the receipt or a PublishError.

        It goes with the binding's content type and the headers of the user context, neither of which takes the place of
        a header that the message brings. Raises ConversionError for a payload that its content type can't express.
        """
        channel = self.channel
        record = encode(channel.binding, message)
        return channel.publish(record if partition is None else dataclasses.replace(record, partition=partition))

    def partition_count(self) -> int:
        """How many partitions the destination has. Raises UnavailableError when the platform can't be asked."""
        return self.channel.partition_count()

    @property
    def channel(self) -> Channel:
        return registry().channel(self.binding_name)


def source(binding_name: str) -> Source:
    """The source for a binding of EVENT_STREAM. Looked up when it first sends, so a module may make one on import."""
    return Source(binding_name)


def encode(binding: Binding, message: Message[Any]) -> OutboundRecord:
    """The message as it goes to the platform. Raises ConversionError."""
    context = correlation.current_or_new().message_headers()
    complete = {headers.CONTENT_TYPE: binding.content_type, **context, **message.headers}
    return OutboundRecord(
        destination=binding.destination,
        key=None if message.key is None else message.key.encode(),
        value=converter_for(complete[headers.CONTENT_TYPE]).encode(dataclasses.replace(message, headers=complete)),
        headers=headers.encode(complete, binding.header_format),
    )


def decode(binding: Binding, record: Record) -> Message[Any]:
    """The message in a record, read by the content type it names or else by the binding's. Raises ConversionError."""
    if record.value is None:
        raise ConversionError("the body is null")
    given = headers.decode(record.headers)
    converter = converter_for(given.get(headers.CONTENT_TYPE, binding.content_type))
    key = None if record.key is None else record.key.decode(errors="backslashreplace")
    return Message(converter.decode(record.value, given), key, given)


class Sink:
    """Receives the messages of a binding one by one: a BatchHandler around a function of one Message.

    The function runs in the user context that the message brought. What it raises decides what becomes of the message:
    RejectedError passes it over with a log line, UnavailableError keeps the partition waiting and tries it again, and
    anything else stops the worker. What can't be decoded is passed over like a rejected message.
    """

    def __init__(self, binding: Binding, function: Callable[[Message[Any]], None]) -> None:
        self._binding = binding
        self._function = function
        self._done: dict[int, int] = {}

    def start(self, partition: int, log: LogBounds, committed: int | None) -> int | None:
        self._done.pop(partition, None)
        return None

    def handle(self, batch: Batch) -> Handled:
        # A batch that stopped in the middle comes again as a whole: what was done of it is not done twice.
        done = self._done.get(batch.partition, -1)
        for record in batch.records:
            if record.offset > done:
                self._receive(record)
                self._done[batch.partition] = record.offset
        self._done.pop(batch.partition, None)
        return Handled()

    def idle(self, partition: int, position: int, log: LogBounds) -> int | None:
        return None

    def stop(self, partition: int) -> None:
        self._done.pop(partition, None)

    def _receive(self, record: Record) -> None:
        try:
            message = decode(self._binding, record)
            context, _ = correlation.from_headers(message.headers)
            with correlation.use(context):
                self._function(message)
        except (ConversionError, RejectedError) as error:
            where = {"destination": record.destination, "partition": record.partition, "offset": record.offset}
            logger.warning("message.rejected", extra={**where, "reason": str(error)})
