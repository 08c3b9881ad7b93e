"""Keeps a cache clear of what has changed, told by queues: the weak form of the protocol.

A queue keeps nothing that was acknowledged, so Redis can't be a replayable prefix of it, and there is no watermark to
vouch for anything. Lease and floor stay: a fill that an eviction overtook is refused, and a message that comes late or
twice is harmless. What proves an entry is the moment at which it was asked for, and nothing after that: it is a hit for
`bound_s` and no longer, which is also all that an eviction lost with Redis can cost.
"""

from collections.abc import Sequence

from event_stream.binder import LogBounds
from event_stream.cache.answers import Eviction
from event_stream.cache.applier import Decode
from event_stream.cache.change import Change
from event_stream.cache.digest import Digest, log_applied
from event_stream.cache.keys import id_in
from event_stream.cache.protocol import FencedCache
from event_stream.errors import ConversionError
from event_stream.handler import Batch, Handled
from event_stream.message import Record
from event_stream.rejection import LoggedRejections, Rejections


class CacheEvictor:
    """A BatchHandler that evicts what has changed, before the batch is acknowledged. For binders that can't seek.

    A record that can't be read evicts by its key and goes to `rejections`, as with CacheApplier.
    """

    def __init__(self, cache: FencedCache, decode: Decode, *, rejections: Rejections | None = None) -> None:
        self._cache = cache
        self._decode = decode
        self._rejections = rejections or LoggedRejections()

    def start(self, partition: int, log: LogBounds, committed: int | None) -> None:
        """Forgets the watermark of a log read before: it must never come to vouch for what is filled from now on."""
        if partition < self._cache.keys.partitions:
            self._cache.forget_watermark(partition)

    def handle(self, batch: Batch) -> Handled:
        digest = Digest()
        suspects: list[Eviction] = []
        read: list[tuple[Record, ConversionError | None]] = []
        for record in batch.records:
            try:
                told = self._decode(record)
            except ConversionError as error:
                read.append((record, error))
                if (suspect := id_in(record.key)) is not None:
                    suspects.append(Eviction(suspect))
                continue
            digest.add(told)
            if isinstance(told, Change):
                read.append((record, None))
        evictions = digest.evictions()
        # First of all, also where the worker then stops: what it has not acknowledged comes again, to no harm.
        self._cache.evict(suspects + evictions)
        self._give_up(read)
        if evictions:
            log_applied(batch.partition, batch.records, digest, self._cache.clock.now_ms())
        return Handled(routine=not read)

    def idle(self, partition: int, position: int, log: LogBounds) -> None:
        """There is nothing to be in step with."""

    def stop(self, partition: int) -> None:
        """Nothing is kept for a partition."""

    def _give_up(self, read: Sequence[tuple[Record, ConversionError | None]]) -> None:
        for record, error in read:
            if error is None:
                self._rejections.accepted()
            else:
                self._rejections.reject(record, error)
