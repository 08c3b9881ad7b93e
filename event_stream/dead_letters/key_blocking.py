"""Keeps the order of a key around a parked message: what comes later waits behind it, parked too.

A message is handled only if no message of its key that came before it is still parked. A replayed one counts as parked
until it has been handled, which is marked in the journal: a worker that takes over between the two must know.
"""

from event_stream.clock import Clock, SystemClock
from event_stream.conf import Binding
from event_stream.dead_letters.log import dead_letter_log
from event_stream.dead_letters.publisher import DeadLetterPublisher
from event_stream.dead_letters.record import Origin, Resolution, mark_record, origin_of
from event_stream.errors import HeldError, PublishError, UnavailableError
from event_stream.messaging.channel import Channel
from event_stream.messaging.message import ConsumerRecord

LOOK_AGAIN_S = 1.0
"""How soon a worker that holds a key hears that its letters were discarded."""


class KeyBlocker:
    """For the partitions of one worker; one for each sink. Raises UnavailableError where the journal can't be used."""

    def __init__(
        self, parking: DeadLetterPublisher, channel: Channel, binding: Binding, *, clock: Clock | None = None
    ) -> None:
        self._parking = parking
        self._channel = channel
        self._group = binding.group or ""
        self._clock = clock or SystemClock()
        self._parked: dict[int, dict[bytes, dict[Origin, int]]] = {}
        """By partition and key: what is parked, and the offset of its newest copy."""
        self._look_at: dict[int, float] = {}

    def start(self, partition: int) -> None:
        log = dead_letter_log(self._channel.read())
        parked: dict[bytes, dict[Origin, int]] = {}
        for open_letter in (*log.letters, *log.awaited):
            if open_letter.letter.key is not None and open_letter.letter.origin.partition == partition:
                parked.setdefault(open_letter.letter.key, {})[open_letter.letter.origin] = open_letter.offset
        self._parked[partition] = parked
        self._look_at[partition] = self._clock.monotonic_s() + LOOK_AGAIN_S

    def stop(self, partition: int) -> None:
        self._parked.pop(partition, None)

    def hold(self, record: ConsumerRecord) -> bool:
        """Park the record if it has to wait; whether it had to."""
        earlier = self._earlier(record)
        if earlier is not None and self._clock.monotonic_s() >= self._look_at[record.partition]:
            self.start(record.partition)
            earlier = self._earlier(record)
        if earlier is None:
            return False
        self._park(record, HeldError(f"{earlier} of the same key came before it and is parked"), counted=False)
        return True

    def reject(self, record: ConsumerRecord, error: Exception, attempts: int = 1) -> None:
        """Raises TooManyDeadLettersError where this one would be one too many in a row; it is not parked then."""
        self._park(record, error, attempts)

    def _park(self, record: ConsumerRecord, error: Exception, attempts: int = 1, *, counted: bool = True) -> None:
        receipt = self._parking.park(record, error, attempts, counted=counted, ordered=True)
        if receipt is not None and record.key is not None:
            of_key = self._parked[record.partition].setdefault(record.key, {})
            of_key[origin_of(record, self._group)] = receipt.offset

    def accepted(self, record: ConsumerRecord) -> None:
        """It ends a row of dead letters. If it was a replay, mark that it is done."""
        self._parking.accepted(record)
        if record.key is None:
            return
        parked = self._parked[record.partition]
        of_key, origin = parked.get(record.key, {}), origin_of(record, self._group)
        if origin not in of_key:
            return
        destination = self._channel.binding.destination
        partition = origin.partition % self._channel.partition_count()
        try:
            self._channel.publish(
                mark_record(Resolution("handled", origin, of_key[origin]), destination, partition)
            ).result()
        except PublishError as error:
            raise UnavailableError(f"{origin} could not be marked as handled: {error}") from error
        del of_key[origin]
        if not of_key:
            del parked[record.key]

    def _earlier(self, record: ConsumerRecord) -> Origin | None:
        of_key = self._parked[record.partition].get(record.key) if record.key is not None else None
        first = min(of_key, default=None) if of_key else None
        return first if first is not None and first < origin_of(record, self._group) else None
