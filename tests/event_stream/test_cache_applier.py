"""A log, one partition of it, and the worker's handler, on a real Redis."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from devstack.ports import free_port
from event_stream.consumer.error_handler import LoggingErrorHandler
from event_stream.consumer.handler import Batch, Handled, SeekTo
from event_stream.doctor import redis
from event_stream.errors import ConfigurationError, UnavailableError
from event_stream.fenced_cache import Change, FencedCache, FillOutcome, LogInvalidator, State
from event_stream.fenced_cache.cache import MISS
from event_stream.fenced_cache.invalidators import MAX_RECORDS
from event_stream.messaging.message import ConsumerRecord
from tests.event_stream.cache_world import (
    NOW_MS,
    FakeClock,
    Log,
    Reader,
    caches_at,
    decode,
    event,
    forget_all,
    heartbeat,
    id_at,
    keep,
    new_cache,
    raw,
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cache(clock: FakeClock) -> FencedCache:
    return new_cache(clock)


@pytest.fixture
def log() -> Log:
    return Log(2)


@pytest.fixture
def worker(cache: FencedCache, log: Log) -> Reader:
    reader = Reader(LogInvalidator(cache, decode), log)
    reader.begin()
    return reader


@pytest.fixture
def id(cache: FencedCache) -> str:
    return id_at(cache, 2)


def offset_in_redis(cache: FencedCache) -> int:
    watermark = cache.watermark(2)
    assert watermark is not None
    return watermark.offset


def epoch(cache: FencedCache) -> bytes:
    watermark = cache.watermark(2)
    assert watermark is not None
    return watermark.epoch


def test_a_change_evicts_and_the_watermark_follows(cache: FencedCache, log: Log, worker: Reader, id: str) -> None:
    keep(cache, id, 7)
    log.add(event(id, 8))
    log.add(b"nothing")
    worker.drain()
    assert cache.read(id) == MISS
    assert offset_in_redis(cache) == 1


def test_many_changes_of_one_id_come_to_their_newest(cache: FencedCache, log: Log, worker: Reader, id: str) -> None:
    keep(cache, id, 5)
    for version in (7, 9, 8):
        log.add(event(id, version))
    worker.drain()
    assert raw(cache, id) == b"T|9"


@pytest.mark.parametrize("order", [(8, None), (None, 8)])
@pytest.mark.parametrize(("there", "left"), [(7, b"T|8"), (9, b"T|9")])
def test_changes_with_and_without_a_version_each_have_their_effect(
    cache: FencedCache, log: Log, worker: Reader, id: str, order: tuple[int | None, ...], there: int, left: bytes
) -> None:
    keep(cache, id, there)
    for version in order:
        log.add(event(id, version))
    worker.drain()
    assert raw(cache, id) == left


def test_a_batch_far_larger_than_a_script_takes_is_applied_whole(cache: FencedCache, log: Log, worker: Reader) -> None:
    names = (f"id-{n}" for n in range(100_000))
    ids = [name for name in names if cache.keys.partition_of(name) == 2][: 2 * MAX_RECORDS + 500]
    kept = [ids[0], ids[MAX_RECORDS - 1], ids[MAX_RECORDS], ids[-1]]
    for id in kept:
        keep(cache, id, 7)
    for id in ids:
        log.add(event(id, 8))
    log.add(heartbeat(NOW_MS))
    assert worker.applier.handle(log.batch(0, len(log.records))) == Handled()
    assert [raw(cache, id) for id in kept] == [b"T|8"] * 4
    assert len(list(cache.ids())) == len(ids)
    watermark = cache.watermark(2)
    assert watermark is not None
    assert (watermark.offset, watermark.as_of_ms) == (len(ids), NOW_MS)


def test_a_large_batch_is_not_routine_if_any_of_it_is_not(
    cache: FencedCache, log: Log, worker: Reader, id: str
) -> None:
    log.add(event(id, 8))
    for _ in range(MAX_RECORDS):
        log.add(b"nothing")
    assert worker.applier.handle(log.batch(0, len(log.records))) == Handled(quiet=False)


def test_two_logs_that_keep_one_cache_are_said_once(
    cache: FencedCache, clock: FakeClock, caplog: pytest.LogCaptureFixture, log: Log, worker: Reader
) -> None:
    """Two installations with the same settings and one Redis database, each on a broker of its own."""
    longer = Log(2)
    for _ in range(1000):
        longer.add(b"nothing")
    other = Reader(LogInvalidator(cache, decode), longer)
    other.begin()
    for _ in range(20):
        for reader, records in ((worker, log), (other, longer)):
            records.add(b"nothing")
            reader.drain()
            reader.idle()
            clock.advance(0.5)
    lines = [record for record in caplog.records if record.message == "watermark.contended"]
    # Once for each of the two workers.
    assert len(lines) == 2
    assert "Give each installation a Redis database of its own" in vars(lines[0])["error"]
    assert "another installation" in (cache.contention() or "")
    findings = list(redis.check(cache, worker="the worker", remedy=""))
    [finding] = [finding for finding in findings if finding.subject == "workers"]
    assert (finding.level, finding.remedy) == ("failed", "Give each installation a Redis database of its own")


def test_a_redis_that_goes_back_is_no_other_log(
    cache: FencedCache, clock: FakeClock, caplog: pytest.LogCaptureFixture, log: Log, worker: Reader
) -> None:
    """A failover to a replica that knew less moves the watermark once each time."""
    for _ in range(3):
        for _ in range(3):
            log.add(b"nothing")
            worker.drain()
        before = cache.scripts.redis.get(cache.keys.watermark(2))
        log.add(b"nothing")
        worker.drain()
        assert before is not None
        cache.scripts.redis.set(cache.keys.watermark(2), before)
        worker.idle()
        worker.drain()
        clock.advance(5)
    assert "watermark.contended" not in caplog.messages
    assert cache.contention() is None


def test_a_worker_takes_up_where_redis_stands_and_not_where_the_group_does(
    cache: FencedCache, log: Log, worker: Reader, id: str
) -> None:
    for version in range(5):
        log.add(event(id, version))
    worker.drain()
    for committed in (None, 0, 3, 5):
        assert worker.applier.start(2, log.bounds, committed) == 5


def test_without_a_watermark_it_takes_up_at_the_groups_commit(cache: FencedCache, log: Log, worker: Reader) -> None:
    for _ in range(5):
        log.add(b"nothing")
    worker.drain()
    for committed, position in ((3, 3), (None, 0), (5, 5), (6, 0)):
        forget_all(cache)
        assert worker.applier.start(2, log.bounds, committed) == position
        assert offset_in_redis(cache) == position - 1


@pytest.mark.parametrize(("start", "end", "position"), [(4, 8, 4), (0, 2, 0)])
def test_a_log_that_lacks_the_place_is_read_in_a_new_epoch(
    cache: FencedCache, log: Log, worker: Reader, id: str, clock: FakeClock, start: int, end: int, position: int
) -> None:
    """Records were deleted before they were read; or it ends before the watermark: an unclean election, a new topic."""
    for _ in range(3):
        log.add(b"nothing")
    worker.drain()
    keep(cache, id, 7)
    before = epoch(cache)
    other = Log(2, start)
    while other.end < end:
        other.add(b"nothing")
    reader = Reader(worker.applier, other)
    reader.begin()
    assert reader.position == position
    assert epoch(cache) != before
    clock.advance(60)
    other.add(heartbeat(clock.ms))
    reader.drain()
    assert cache.read(id).state is State.STALE
    keep(cache, id, 7, as_of_ms=clock.ms)
    clock.advance(60)
    other.add(heartbeat(clock.ms))
    reader.drain()
    assert cache.read(id).state is State.HIT


@pytest.mark.parametrize("start", [3, 2])
def test_the_place_after_the_watermark_may_be_the_logs_very_end(
    cache: FencedCache, log: Log, worker: Reader, start: int
) -> None:
    for _ in range(3):
        log.add(b"nothing")
    worker.drain()
    before = epoch(cache)
    log.start = start
    worker.begin()
    assert worker.position == 3
    assert epoch(cache) == before


def test_while_nothing_comes_a_flush_is_noticed(cache: FencedCache, log: Log, worker: Reader) -> None:
    log.add(b"nothing")
    worker.drain()
    before = epoch(cache)
    forget_all(cache)
    worker.idle()
    assert worker.position == 1
    assert (offset_in_redis(cache), epoch(cache) != before) == (0, True)


def test_while_nothing_comes_a_failover_to_an_older_state_is_noticed(
    cache: FencedCache, log: Log, worker: Reader, id: str
) -> None:
    log.add(b"nothing")
    worker.drain()
    older = cache.scripts.redis.get(cache.keys.watermark(2))
    keep(cache, id, 7)
    log.add(event(id, 8))
    worker.drain()
    assert older is not None
    cache.scripts.redis.set(cache.keys.watermark(2), older)
    cache.scripts.redis.delete(cache.keys.entry(id, 2))
    keep(cache, id, 7)
    worker.drain()
    assert cache.read(id) == MISS
    assert offset_in_redis(cache) == 1


def test_a_failover_is_noticed_by_the_next_batch_too(cache: FencedCache, log: Log, worker: Reader, id: str) -> None:
    log.add(b"nothing")
    worker.drain()
    older = cache.scripts.redis.get(cache.keys.watermark(2))
    log.add(event(id, 8))
    worker.drain()
    assert older is not None
    cache.scripts.redis.set(cache.keys.watermark(2), older)
    log.add(heartbeat(NOW_MS))
    assert worker.applier.handle(log.batch(2)) == SeekTo(1)
    worker.drain()
    assert offset_in_redis(cache) == 2


def test_a_lost_watermark_begins_a_new_epoch_with_the_next_batch(
    cache: FencedCache, log: Log, worker: Reader, id: str, clock: FakeClock
) -> None:
    log.add(b"nothing")
    worker.drain()
    keep(cache, id, 7)
    cache.scripts.redis.delete(cache.keys.watermark(2))
    clock.advance(60)
    log.add(heartbeat(clock.ms))
    worker.step()
    assert offset_in_redis(cache) == 1
    assert cache.read(id).state is State.STALE


def test_two_workers_on_one_partition_do_each_record_once_and_in_order(
    cache: FencedCache, log: Log, worker: Reader, id: str
) -> None:
    other = Reader(worker.applier, log, batch=2)
    other.begin()
    worker.size = 3
    lease = None
    for version in range(1, 30):
        log.add(event(id, version))
        (worker if version % 3 else other).step()
        if version == 20:
            lease = cache.lease(id)
    other.drain()
    worker.drain()
    assert raw(cache, id) == b"T|29"
    assert offset_in_redis(cache) == 28
    assert lease is not None
    assert cache.fill(lease, 30, b"x", NOW_MS) is FillOutcome.LEASE_LOST


def test_a_zombies_late_batch_changes_nothing(cache: FencedCache, log: Log, worker: Reader, id: str) -> None:
    log.add(event(id, 8))
    late = log.batch(0)
    worker.drain()
    keep(cache, id, 8)
    lease = cache.lease(id)
    assert lease is not None
    assert worker.applier.handle(late) == SeekTo(1)
    assert cache.read(id).version == 8
    assert cache.fill(lease, 9, b"x", NOW_MS) is FillOutcome.FILLED


def test_a_foreign_event_on_any_partition_evicts(cache: FencedCache, log: Log, worker: Reader) -> None:
    """As a producer without keys sends it: four keys, no version."""
    ids = [id_at(cache, partition) for partition in range(6)]
    for id in ids:
        keep(cache, id, 7)
        log.add(event(id))
    worker.drain()
    assert [raw(cache, id) for id in ids] == [b"T|7"] * 6
    assert [cache.watermark(partition) is not None for partition in range(6)] == [False, False, True] + [False] * 3


def test_a_stray_is_evicted_before_its_partitions_watermark_moves(
    cache: FencedCache, log: Log, worker: Reader, id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stray = id_at(cache, 4)
    keep(cache, stray, 7)
    log.add(event(stray))
    log.add(event(id, 8))

    def crash(*_: object) -> None:
        raise UnavailableError("here the worker is killed")

    monkeypatch.setattr(cache, "apply", crash)
    with pytest.raises(UnavailableError):
        worker.step()
    assert offset_in_redis(cache) == -1
    assert raw(cache, stray) == b"T|7"


def test_a_record_that_cannot_be_read_evicts_by_its_key_and_is_handed_on(cache: FencedCache, log: Log, id: str) -> None:
    elsewhere, after = id_at(cache, 4), id_at(cache, 2, 1)
    for each in (id, elsewhere, after):
        keep(cache, each, 7)
    poison = [
        log.add(b"{", key=id.encode()),
        log.add(None, key=elsewhere.encode()),
        log.add(b"{", key=b"no id at all"),
        log.add(b"{"),
        log.add(b"event  8"),
        log.add(b"event x 9007199254740993"),
    ]
    log.add(event(after, 8))
    rejected: list[tuple[int, str, int, bytes | None]] = []

    class Kept(LoggingErrorHandler):
        def reject(self, record: ConsumerRecord, error: Exception, attempts: int = 1) -> None:
            rejected.append((record.offset, str(error), offset_in_redis(cache), raw(cache, id)))

    worker = Reader(LogInvalidator(cache, decode, error_handler=Kept()), log)
    worker.begin()
    worker.drain()
    assert [each[0] for each in rejected] == [record.offset for record in poison]
    assert "neither" in rejected[0][1]
    # Evicted first, handed on second, done third.
    assert {each[2:] for each in rejected} == {(-1, b"T|7")}
    assert [raw(cache, each) for each in (id, elsewhere, after)] == [b"T|7", b"T|7", b"T|8"]


def test_without_a_place_for_them_records_that_cannot_be_read_are_logged(
    log: Log, worker: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    log.add(b"{", key=b"some-id")
    worker.drain()
    line = logged(caplog, "message.rejected")
    assert (line["destination"], line["partition"], line["offset"]) == ("topic", 2, 0)
    assert "neither an event nor" in line["error"]


def test_where_a_rejected_record_cannot_be_kept_the_batch_is_not_done(cache: FencedCache, log: Log) -> None:
    class Full(LoggingErrorHandler):
        def reject(self, record: ConsumerRecord, error: Exception, attempts: int = 1) -> None:
            raise UnavailableError("no place to keep it")

    log.add(b"{")
    worker = Reader(LogInvalidator(cache, decode, error_handler=Full()), log)
    worker.begin()
    with pytest.raises(UnavailableError):
        worker.step()
    assert offset_in_redis(cache) == -1


def test_a_heartbeat_from_the_future_is_not_believed(
    cache: FencedCache, log: Log, worker: Reader, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    log.add(heartbeat(clock.ms + 10_000))
    log.add(heartbeat(clock.ms + 10_001))
    worker.drain()
    watermark = cache.watermark(2)
    assert watermark is not None
    assert (watermark.offset, watermark.as_of_ms) == (1, clock.ms + 10_000)
    line = logged(caplog, "heartbeat.from_the_future")
    assert (line["partition"], line["offset"], line["ahead_ms"]) == (2, 1, 10_001)
    assert "the database's clock" in line["error"]
    assert "NTP" in line["remedy"]


def test_a_clock_that_is_ahead_parks_nothing_and_is_one_line_for_each_outage(
    cache: FencedCache, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Nothing(LoggingErrorHandler):
        def reject(self, record: ConsumerRecord, error: Exception, attempts: int = 1) -> None:
            raise AssertionError(f"parked: {record.value!r}")

    applier = LogInvalidator(cache, decode, error_handler=Nothing())
    readers = [Reader(applier, Log(partition)) for partition in (1, 2)]

    def beat(ahead_ms: int) -> None:
        for reader in readers:
            reader.log.add(heartbeat(clock.ms + ahead_ms))
            reader.drain()
        clock.advance(1)

    for reader in readers:
        reader.begin()
    with caplog.at_level(logging.INFO, "event_stream.fenced_cache"):
        for ahead_ms, times in ((3_600_000, 300), (0, 2), (3_600_000, 3), (0, 1)):
            for _ in range(times):
                beat(ahead_ms)
    lines = [record.message for record in caplog.records if record.message.startswith("heartbeat.")]
    assert lines == ["heartbeat.from_the_future", "heartbeat.believed_again"] * 2
    watermark = cache.watermark(2)
    assert watermark is not None
    assert watermark.as_of_ms == clock.ms - 1_000


def test_whose_partition_was_taken_away_has_no_clock_to_complain_of(
    cache: FencedCache, log: Log, worker: Reader, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        log.add(heartbeat(clock.ms + 20_000))
        worker.drain()
        worker.applier.stop(2)
        worker.begin()
    lines = [record.message for record in caplog.records]
    assert lines.count("heartbeat.from_the_future") == 2
    assert "heartbeat.believed_again" not in lines


def test_offsets_that_hold_no_record_are_passed_over(
    cache: FencedCache, log: Log, worker: Reader, id: str, clock: FakeClock
) -> None:
    """The marks of transactions, say; within a batch and before one."""
    log.add(b"nothing")
    log.add(b"nothing", skip=2)
    worker.drain()
    assert offset_in_redis(cache) == 3
    keep(cache, id, 7)
    clock.advance(60)
    log.add(heartbeat(clock.ms), skip=3)
    assert log.batch(4) == Batch(2, 3, log.records[2:])
    worker.drain()
    assert offset_in_redis(cache) == 7
    assert cache.read(id).state is State.HIT


def test_a_batch_of_heartbeats_is_routine_and_one_that_evicts_is_not(cache: FencedCache, log: Log, id: str) -> None:
    applier = LogInvalidator(cache, decode)
    for value, quiet in ((heartbeat(NOW_MS), True), (b"nothing", True), (event(id, 8), False), (b"{", False)):
        log.add(value)
        assert applier.handle(log.batch(log.end - 1)) == Handled(quiet)


def test_each_batch_is_one_line_in_the_log(
    cache: FencedCache, log: Log, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [id_at(cache, 2, number) for number in range(2)]
    changes = {
        0: Change(ids[0], 5, "c-1", NOW_MS - 900),
        1: Change(ids[1], None, None, NOW_MS - 400),
        2: Change(ids[0], 6, "c-2", NOW_MS - 700),
        3: Change(ids[0], 7, "c-1", None),
    }
    for offset in changes:
        log.add(b"%d" % offset)
    applier = LogInvalidator(cache, lambda record: changes[record.offset])
    with caplog.at_level(logging.INFO, "event_stream.fenced_cache"):
        applier.handle(log.batch(0))
    line = logged(caplog, "eviction.applied")
    names = ("partition", "first_offset", "last_offset", "ids", "correlation_ids", "lag_ms")
    assert tuple(line[name] for name in names) == (2, 0, 3, ids, ["c-1", "c-2"], 400)


def test_heartbeats_alone_are_no_line_in_the_log(log: Log, worker: Reader, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "event_stream.fenced_cache"):
        log.add(heartbeat(NOW_MS))
        worker.drain()
    assert not caplog.records


def test_a_log_with_more_partitions_than_the_cache_knows_is_a_misconfiguration(worker: Reader) -> None:
    with pytest.raises(ConfigurationError, match="`partitions` is 6, but the log has a partition 6"):
        worker.applier.start(6, Log(6).bounds, None)


def test_with_redis_away_every_call_says_so(clock: FakeClock, log: Log) -> None:
    log.add(heartbeat(NOW_MS))
    with caches_at(f"redis://127.0.0.1:{free_port()}/0"):
        applier = LogInvalidator(new_cache(clock), decode)
        calls: list[Callable[[], object]] = [
            lambda: applier.start(2, log.bounds, None),
            lambda: applier.handle(log.batch(0)),
            lambda: applier.idle(2, 0, log.bounds),
        ]
        for call in calls:
            with pytest.raises(UnavailableError):
                call()
        applier.stop(2)


def logged(caplog: pytest.LogCaptureFixture, message: str) -> dict[str, Any]:
    """The one line with this message."""
    [line] = [record for record in caplog.records if record.message == message]
    return vars(line)
