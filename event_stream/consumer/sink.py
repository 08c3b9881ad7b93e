"""A sink: what application code receives with. It knows no platform."""

from collections.abc import Callable
from typing import Any

from django.db import InterfaceError, OperationalError

from event_stream import user_context
from event_stream.conf import Binding
from event_stream.consumer.error_handler import RecordErrorHandler
from event_stream.consumer.handler import Batch, Handled
from event_stream.dead_letters import KeyBlocker, error_handler_for, is_for_another
from event_stream.errors import ConversionError, RejectedError, RetryError, UnavailableError
from event_stream.messaging.binder import OffsetRange
from event_stream.messaging.converters import decode
from event_stream.messaging.message import ConsumerRecord, Message
from event_stream.retry import permanent_errors


class Sink:
    """Receives the messages of a binding one by one: a BatchHandler around a function of one Message.

    The function runs in the user context that the message brought. What it raises decides what becomes of the message:

    RejectedError, `retry_permanent`   it is given up at once, as is what can't be decoded
    UnavailableError, and Django's     the partition waits, and it is tried again for as long as it takes
    OperationalError, InterfaceError
    anything else                      the same, `retry_attempts` times in all; then it is given up

    What is given up goes to `rejections`: dead letters, or a log line, as the binding says. A binding without dead
    letters gives up no message for an error of the last kind: it stops the worker.

    With an `order` (`dead_letters.key_blocker(binding)`), which then takes the place of `rejections`, what comes after
    a parked message of its key is parked behind it.
    """

    def __init__(
        self,
        binding: Binding,
        function: Callable[[Message[Any]], None],
        *,
        rejections: RecordErrorHandler | None = None,
        order: KeyBlocker | None = None,
    ) -> None:
        self._binding = binding
        self._function = function
        self._order = order
        self._rejections = rejections or error_handler_for(binding)
        self._given_up_at_once: tuple[type[Exception], ...] = (
            ConversionError,
            RejectedError,
            *permanent_errors(binding),
        )
        self._done: dict[int, int] = {}
        self._attempts: dict[int, int] = {}
        """By partition: how often its next record has failed."""

    def start(self, partition: int, log: OffsetRange, committed: int | None) -> int | None:
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

    def idle(self, partition: int, position: int, log: OffsetRange) -> int | None:
        return None

    def stop(self, partition: int) -> None:
        self._forget(partition)
        if self._order is not None:
            self._order.stop(partition)

    def _forget(self, partition: int) -> None:
        self._done.pop(partition, None)
        self._attempts.pop(partition, None)

    def _receive(self, record: ConsumerRecord) -> None:
        if is_for_another(record, self._binding.group) or (self._order is not None and self._order.hold(record)):
            return
        try:
            message = decode(self._binding, record)
            context, _ = user_context.from_headers(message.headers)
            with user_context.use(context):
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

    def _give_up(self, record: ConsumerRecord, error: Exception, attempts: int) -> None:
        if self._order is None:
            self._rejections.reject(record, error, attempts)
        else:
            self._order.park(record, error, attempts)
