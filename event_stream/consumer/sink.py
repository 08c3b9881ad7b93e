"""A sink: what application code receives with. It knows no platform."""

from collections.abc import Callable
from typing import Any

from django.db import Error, InterfaceError, OperationalError

from event_stream import user_context
from event_stream.conf import Binding
from event_stream.consumer.error_handler import LoggingErrorHandler, RecordErrorHandler
from event_stream.consumer.handler import Batch, Handled
from event_stream.database_connections import discard_connections
from event_stream.database_faults import database_fault
from event_stream.errors import ConfigurationError, ConversionError, RejectedError, RetryError, UnavailableError
from event_stream.messaging.binder import OffsetRange
from event_stream.messaging.converters import decode
from event_stream.messaging.headers import is_for_another
from event_stream.messaging.message import ConsumerRecord, Message
from event_stream.retry import permanent_errors


class Sink:
    """Receives the messages of a binding one by one: a BatchHandler around a function of one Message.

    The function runs in the user context that the message brought. What it raises decides what becomes of the message:

    RejectedError, `retry_permanent`   it is given up at once, as is what can't be decoded
    UnavailableError, and Django's     the partition waits, and it is tried again for as long as it takes
    OperationalError, InterfaceError,
    and any other fault of the server
    (a read-only one, say)
    anything else                      the same, `retry_attempts` times in all; then it is given up

    What is given up goes to `error_handler`. Without one it is logged and passed over, and an error of the last kind
    stops the worker: no message is given up for it. A binding that has `dead_letters` needs one of these:

    dead_letters.error_handler_for(binding)   parks it
    dead_letters.key_blocker(binding)         parks it, and behind it what comes after it of its key
    """

    def __init__(
        self,
        binding: Binding,
        function: Callable[[Message[Any]], None],
        *,
        error_handler: RecordErrorHandler | None = None,
    ) -> None:
        self._binding = binding
        self._function = function
        self._error_handler = error_handler or _default_error_handler(binding)
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
        self._error_handler.start(partition)
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
        self._error_handler.stop(partition)

    def _forget(self, partition: int) -> None:
        self._done.pop(partition, None)
        self._attempts.pop(partition, None)

    def _receive(self, record: ConsumerRecord) -> None:
        if is_for_another(record, self._binding.group) or self._error_handler.hold(record):
            return
        try:
            message = decode(self._binding, record)
            context, _ = user_context.from_headers(message.headers)
            with user_context.use(context):
                self._function(message)
        except UnavailableError:
            raise
        except Exception as error:
            if _is_fault_of_the_database(error):
                discard_connections()
                raise UnavailableError(f"the database: {error}") from error
            self._failed(record, error)
        else:
            self._error_handler.accepted(record)

    def _failed(self, record: ConsumerRecord, error: Exception) -> None:
        """Give the record up, or raise to have it tried again, or to stop the worker."""
        attempt = self._attempts.get(record.partition, 0) + 1
        given_up = isinstance(error, self._given_up_at_once)
        if not given_up and attempt < self._binding.consumer.retry_attempts:
            self._attempts[record.partition] = attempt
            where = f"{record.destination}[{record.partition}] at offset {record.offset}"
            raise RetryError(f"{where}: {type(error).__name__}: {error}", attempt) from error
        if not given_up and not self._binding.consumer.dead_letters:
            raise error
        self._error_handler.reject(record, error, attempt)


def _is_fault_of_the_database(error: Exception) -> bool:
    if isinstance(error, OperationalError | InterfaceError):
        return True
    return isinstance(error, Error) and database_fault(error) is not None


def _default_error_handler(binding: Binding) -> RecordErrorHandler:
    # Dead letters are built on the consumer, so a sink can't make theirs itself.
    if binding.consumer.dead_letters:
        raise ConfigurationError(
            f"{binding.path}['consumer']['dead_letters'] is True; its sink should be made "
            "with error_handler=event_stream.dead_letters.error_handler_for(binding)"
        )
    return LoggingErrorHandler()
