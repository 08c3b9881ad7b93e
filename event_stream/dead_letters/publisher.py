"""Parks what can't be handled, so that nothing is lost and nothing is held up."""

import dataclasses
import logging
from collections import OrderedDict

from event_stream import failpoints
from event_stream.clock import Clock, SystemClock
from event_stream.conf import Binding, dead_letter_binding
from event_stream.consumer.error_handler import LoggingErrorHandler, RecordErrorHandler, log_rejected
from event_stream.dead_letters.record import DeadLetterRecord, as_record, letter_for
from event_stream.errors import PublishError, TooManyDeadLettersError, UnavailableError, UnsendableError
from event_stream.failpoints import FailPoint
from event_stream.messaging.channel import Channel, registry
from event_stream.messaging.message import ConsumerRecord, RecordMetadata

logger = logging.getLogger("event_stream.dead_letters")

_REMEMBERED = 10_000
"""More than a batch: when one comes again, what was parked of it is known."""


def dead_letter_channel(binding: Binding) -> Channel:
    """One of its own to the destination of the binding's dead letters."""
    return Channel(dead_letter_binding(binding), registry().binder(binding.binder))


def error_handler_for(binding: Binding) -> RecordErrorHandler:
    """As the binding's consumer settings say: parked, or logged and passed over."""
    if not binding.consumer.dead_letters:
        return LoggingErrorHandler()
    return DeadLetterPublisher(dead_letter_channel(binding), binding)


class DeadLetterPublisher:
    """Sends each rejected record to `channel` and returns once the platform has acknowledged it.

    A record that comes again while this process remembers it is not parked again; after a crash between acknowledgement
    and commit it is, under the same id, and counts as one letter to whoever reads them.
    """

    def __init__(self, channel: Channel, binding: Binding, *, clock: Clock | None = None) -> None:
        self._channel = channel
        self._group = binding.group or ""
        self.limit = binding.consumer.dead_letter_limit
        """How many in a row may be parked; it may be changed meanwhile."""
        self._path = f"{binding.path}['consumer']['dead_letter_limit']"
        self._clock = clock or SystemClock()
        self._partitions: int | None = None
        self._parked: OrderedDict[tuple[str, int, int, int], None] = OrderedDict()
        self._in_a_row = 0

    def start(self, partition: int) -> None:
        """What was parked is remembered whatever partitions come and go."""

    def stop(self, partition: int) -> None:
        """What was parked is remembered whatever partitions come and go."""

    def hold(self, record: ConsumerRecord) -> bool:
        """Nothing waits behind a dead letter."""
        return False

    def reject(self, record: ConsumerRecord, error: Exception, attempts: int = 1) -> None:
        """Raises TooManyDeadLettersError where this one would be one too many in a row; it is not parked then."""
        self.park(record, error, attempts)

    def park(
        self, record: ConsumerRecord, error: Exception, attempts: int, *, counted: bool = True, ordered: bool = False
    ) -> RecordMetadata | None:
        """The same; where it lies, or None if it was parked before. One that is not `counted` is no part of a row."""
        place = (record.destination, record.partition, record.offset, record.timestamp_ms)
        if place in self._parked:
            return None
        if counted and self._in_a_row >= self.limit:
            raise TooManyDeadLettersError(
                f"{self._in_a_row} messages in a row could not be handled, which is the limit ({self._path}). "
                f"The next is {record.destination}[{record.partition}] at offset {record.offset}: {error}. Where the "
                f"messages are at fault, start again; where the code is, mend it and replay {self._destination}.",
                record.offset,
            ) from error
        now_ms = self._clock.now_ms()
        letter = letter_for(record, error, group=self._group, attempts=attempts, now_ms=now_ms, ordered=ordered)
        receipt = self._park(letter)
        failpoints.reached(FailPoint.DEAD_LETTER_PARKED_NOT_COMMITTED)
        log_rejected(record, error)
        extra = {"id": str(letter.origin), "partition": receipt.partition, "offset": receipt.offset}
        logger.warning("dead_letter.parked", extra={"destination": receipt.destination, **extra, "error": letter.error})
        self._in_a_row += counted
        self._parked[place] = None
        if len(self._parked) > _REMEMBERED:
            self._parked.popitem(last=False)
        return receipt

    def accepted(self, record: ConsumerRecord) -> None:
        """It ends a row of dead letters."""
        self._in_a_row = 0

    @property
    def _destination(self) -> str:
        return self._channel.binding.destination

    def _park(self, letter: DeadLetterRecord) -> RecordMetadata:
        bare = dataclasses.replace(letter, value=None, omitted=True)
        # Rather without its body, which its origin still has for a while, than not at all.
        for form in (letter, bare, dataclasses.replace(bare, headers=())):
            try:
                return self._sent(form)
            except UnsendableError as error:
                refusal = error
        raise UnavailableError(f"{self._destination} takes no dead letter: {refusal}") from refusal

    def _sent(self, letter: DeadLetterRecord) -> RecordMetadata:
        if self._partitions is None:
            self._partitions = self._channel.partition_count()
        # As its origin, so that a message that is parked twice is so in one place, and a key's letters are in order.
        partition = letter.origin.partition % self._partitions
        try:
            return self._channel.publish(as_record(letter, self._destination, partition)).result()
        except UnsendableError:
            raise
        except PublishError as error:
            raise UnavailableError(f"a dead letter could not be parked: {error}") from error
