"""The weak form of the protocol, for platforms that can't seek: a real Redis, and batches that are told once."""

import pytest

from event_stream.consumer.error_handler import LoggingErrorHandler
from event_stream.consumer.handler import Handled
from event_stream.errors import TooManyDeadLettersError
from event_stream.fenced_cache import FencedCache, FillOutcome, QueueInvalidator, State
from event_stream.messaging.binder import OffsetRange
from event_stream.messaging.message import ConsumerRecord
from tests.event_stream.cache_world import NOW_MS, FakeClock, Log, decode, event, heartbeat, id_at, keep, new_cache


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cache(clock: FakeClock) -> FencedCache:
    return new_cache(clock, max_staleness_s=10.0)


@pytest.fixture
def log() -> Log:
    return Log(2)


@pytest.fixture
def id(cache: FencedCache) -> str:
    return id_at(cache, 2)


def test_a_change_evicts_wherever_it_lies(cache: FencedCache, id: str) -> None:
    keep(cache, id, 7)
    elsewhere = Log(0)
    elsewhere.add(event(id, 8))
    assert QueueInvalidator(cache, decode).handle(elsewhere.batch(0)) == Handled(quiet=False)
    assert cache.read(id).state is State.MISS


def test_a_fill_that_an_eviction_overtook_is_refused(cache: FencedCache, log: Log, id: str) -> None:
    lease = cache.lease(id)
    assert lease is not None
    log.add(event(id, 8))
    QueueInvalidator(cache, decode).handle(log.batch(0))
    assert cache.fill(lease, 7, b"old", NOW_MS) is FillOutcome.LEASE_LOST
    later = cache.lease(id)
    assert later is not None
    assert cache.fill(later, 7, b"old", NOW_MS) is FillOutcome.OLDER


def test_nothing_but_its_own_age_vouches_for_an_entry(cache: FencedCache, clock: FakeClock, log: Log, id: str) -> None:
    keep(cache, id, 7)
    clock.advance(9)
    # Heartbeats of a log, should some come, mean nothing here.
    log.add(heartbeat(clock.now_ms()))
    assert QueueInvalidator(cache, decode).handle(log.batch(0)) == Handled(quiet=True)
    assert (cache.read(id).state, cache.read(id).fresh_at_ms) == (State.HIT, NOW_MS)
    clock.advance(2)
    assert cache.read(id).state is State.STALE


def test_what_was_filled_meanwhile_is_not_vouched_for_by_another_platforms_log(
    cache: FencedCache, clock: FakeClock, log: Log, id: str
) -> None:
    cache.apply(2, -1, 0, [], NOW_MS)
    QueueInvalidator(cache, decode).start(2, OffsetRange(0, 0), None)
    assert cache.watermark(2) is None
    keep(cache, id, 7)
    # Back on a log that knows nothing of what the queues had: its watermark is true of itself alone.
    clock.advance(11)
    cache.apply(2, 0, 1, [], clock.now_ms())
    assert cache.read(id).state is State.STALE


def test_what_cannot_be_read_evicts_by_its_key_before_the_worker_may_stop(
    cache: FencedCache, log: Log, id: str
) -> None:
    class Full(LoggingErrorHandler):
        def reject(self, record: ConsumerRecord, error: Exception, attempts: int = 1) -> None:
            raise TooManyDeadLettersError("one too many", record.offset)

    other = id_at(cache, 2, 1)
    keep(cache, id, 7)
    keep(cache, other, 7)
    log.add(b"rubbish", key=id.encode())
    log.add(event(other, 8))
    with pytest.raises(TooManyDeadLettersError):
        QueueInvalidator(cache, decode, error_handler=Full()).handle(log.batch(0))
    assert {cache.read(each).state for each in (id, other)} == {State.MISS}
