"""Source and Sink: what application code sends with and receives with. Neither knows a platform."""

import dataclasses
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from django.db import InterfaceError, OperationalError

from event_stream import correlation, headers
from event_stream.binder import LogBounds
from event_stream.binding import Binding
from event_stream.channel import Channel
from event_stream.converter import converter_for
from event_stream.dead_letters import KeyOrder, is_for_another, rejections_for
from event_stream.errors import ConversionError, RejectedError, RetryError, UnavailableError
from event_stream.handler import Batch, Handled
from event_stream.interceptor import intercepted
from event_stream.message import Message, OutboundRecord, Receipt, Record
from event_stream.registry import registry
from event_stream.rejection import Rejections
from event_stream.retry import permanent_errors


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
    message = intercepted(binding, message)
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
    return dataclasses.replace(converter.decode(record.value, given), key=key)


class Sink:
    """Receives the messages of a binding one by one: a BatchHandler around a function of one Message.

    The function runs in the user context that the message brought. What it raises decides what becomes of the message:

    RejectedError, `retry_permanent`   it is given up at once, as is what can't be decoded
    UnavailableError, and Django's     the partition waits, and it is tried again for as long as it takes
    OperationalError, InterfaceError
    anything else                      the same, `retry_attempts` times in all; then it is given up

    What is given up goes to `rejections`: dead letters, or a log line, as the binding says. A binding without dead
    letters gives up no message for an error of the last kind: it stops the worker.

    With an `order` (`dead_letters.key_order(binding)`), which then takes the place of `rejections`, what comes after a
    parked message of its key is parked behind it.
    """

    def __init__(
        self,
        binding: Binding,
        function: Callable[[Message[Any]], None],
        *,
        rejections: Rejections | None = None,
        order: KeyOrder | None = None,
    ) -> None:
        self._binding = binding
        self._function = function
        self._order = order
        self._rejections = rejections or rejections_for(binding)
        self._given_up_at_once: tuple[type[Exception], ...] = (
            ConversionError,
            RejectedError,
            *permanent_errors(binding),
        )
        self._done: dict[int, int] = {}
        self._attempts: dict[int, int] = {}
        """By partition: how often its next record has failed."""

    def start(self, partition: int, log: LogBounds, committed: int | None) -> int | None:
        self._forget(partition)
        if self._order is not None:
            self._order.start(partition)
        return None

    def handle(self, batch: Batch) -> Handled:
        # A batch that stopped in the middle comes again as a whole: what was done of it is not done twice.
        done = self._done.get(batch.partition, -1)
        for record in batch.records:
            if record.offset > done:
                self._receive(record)
                self._done[batch.partition] = record.offset
                self._attempts.pop(batch.partition, None)
        self._done.pop(batch.partition, None)
        return Handled()

    def idle(self, partition: int, position: int, log: LogBounds) -> int | None:
        return None

    def stop(self, partition: int) -> None:
        self._forget(partition)
        if self._order is not None:
            self._order.stop(partition)

    def _forget(self, partition: int) -> None:
        self._done.pop(partition, None)
        self._attempts.pop(partition, None)

    def _receive(self, record: Record) -> None:
        if is_for_another(record, self._binding.group) or (self._order is not None and self._order.hold(record)):
            return
        try:
            message = decode(self._binding, record)
            context, _ = correlation.from_headers(message.headers)
            with correlation.use(context):
                self._function(message)
        except UnavailableError:
            raise
        except (OperationalError, InterfaceError) as error:
            raise UnavailableError(f"the database: {error}") from error
        except self._given_up_at_once as error:
            self._give_up(record, error, self._attempts.get(record.partition, 0) + 1)
        except Exception as error:
            attempt = self._attempts.get(record.partition, 0) + 1
            if attempt < self._binding.consumer.retry_attempts:
                self._attempts[record.partition] = attempt
                where = f"{record.destination}[{record.partition}] at offset {record.offset}"
                raise RetryError(f"{where}: {type(error).__name__}: {error}", attempt) from error
            if not self._binding.consumer.dead_letters:
                raise
            self._give_up(record, error, attempt)
        else:
            if self._order is None:
                self._rejections.accepted()
            else:
                self._order.handled(record)

    def _give_up(self, record: Record, error: Exception, attempts: int) -> None:
        if self._order is None:
            self._rejections.reject(record, error, attempts)
        else:
            self._order.park(record, error, attempts)
