"""Processes of one cache whose settings differ: whatever a worker with other settings does makes nothing fresh."""

import logging
import uuid
from collections.abc import Mapping

import pytest

from event_stream.errors import ConfigurationError
from event_stream.fenced_cache import CacheStatus, Deadline, FencedCache, Fetched, LogInvalidator, ReadThrough, State
from event_stream.fenced_cache.cache import OtherSettings
from event_stream.fenced_cache.invalidators import QueueInvalidator
from tests.event_stream.cache_world import NOW_MS, FakeClock, Log, Reader, decode, event, heartbeat, keep

TOPIC = {"topic": "changes", "group": "readers", "binder": "kafka"}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def namespace() -> str:
    return f"t{uuid.uuid4().hex}"


def process(
    namespace: str, clock: FakeClock, partitions: int = 6, shared: Mapping[str, str] | None = None
) -> FencedCache:
    """The cache as one process has it."""
    return FencedCache(
        namespace=namespace, partitions=partitions, clock=clock, shared=TOPIC if shared is None else shared
    )


def logs(partitions: int) -> list[Log]:
    return [Log(partition) for partition in range(partitions)]


def read_all(cache: FencedCache, of: list[Log], as_of_ms: int) -> None:
    """What a worker with these settings does, of a group that had read all: a heartbeat has come on every partition."""
    for log in of:
        reader = Reader(LogInvalidator(cache, decode), log)
        reader.committed = log.end
        log.add(heartbeat(as_of_ms))
        reader.begin()
        reader.drain()


def moved_id(web: FencedCache, worker: FencedCache) -> str:
    """An id that the two look for in different places, both of which the worker keeps."""
    names = (f"id-{n}" for n in range(10_000))
    return next(name for name in names if web.keys.partition_of(name) != worker.keys.partition_of(name))


def test_another_number_of_partitions_makes_nothing_fresh(namespace: str, clock: FakeClock) -> None:
    """The worker evicts elsewhere, and moves the watermark that the web process reads."""
    worker, web = process(namespace, clock, 6), process(namespace, clock, 5)
    of, id = logs(6), moved_id(web, worker)
    keep(web, id, 7)
    read_all(worker, of, clock.ms)
    of[worker.keys.partition_of(id)].add(event(id, 8))
    for _ in range(28):
        clock.advance(1)
        read_all(worker, of, clock.ms)
        assert web.read(id).state is State.STALE
    # What it claims of the entry is what it knows itself.
    assert web.read(id).fresh_at_ms == NOW_MS


@pytest.mark.parametrize("name", sorted(TOPIC))
def test_every_shared_setting_counts(namespace: str, clock: FakeClock, name: str) -> None:
    worker, web = process(namespace, clock), process(namespace, clock, shared={**TOPIC, name: "another"})
    read_all(worker, logs(6), clock.ms)
    keep(worker, "x", 7)
    assert worker.read("x").state is State.HIT
    assert web.read("x").state is State.STALE
    assert web.disagreement() == f"{name} is another here and {TOPIC[name]} at the worker"


def test_a_process_that_disagrees_fills_nothing_and_is_not_kept_waiting(namespace: str, clock: FakeClock) -> None:
    """What it keeps might be of another origin, or lie where nobody evicts it."""
    worker, web = process(namespace, clock), process(namespace, clock, shared={**TOPIC, "topic": "another"})
    read_all(worker, logs(6), clock.ms)
    assert web.lease("x") is None

    def fetch(id: str, budget: Deadline) -> Fetched:
        return Fetched(7, b"value")

    def sleep(seconds: float) -> None:
        raise AssertionError("nobody else will fill it")

    lookup = ReadThrough(web, fetch, sleep=sleep)
    assert [lookup.find("x").source for _ in range(2)] == [CacheStatus.BYPASS] * 2
    assert worker.read("x").state is State.MISS


def test_once_it_disagrees_its_own_age_makes_nothing_fresh_either(namespace: str, clock: FakeClock) -> None:
    """Where the worker has no partition, there is no watermark that could tell."""
    worker, web = process(namespace, clock, 6), process(namespace, clock, 7)
    names = (f"id-{n}" for n in range(10_000))
    beyond = next(name for name in names if web.keys.partition_of(name) == 6)
    keep(web, beyond, 7)
    assert web.read(beyond).state is State.HIT
    read_all(worker, logs(6), clock.ms)
    web.read(moved_id(web, worker))
    assert web.read(beyond).state is State.STALE


def test_a_disagreement_is_one_line_and_says_how_the_settings_differ(
    namespace: str, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="event_stream.fenced_cache")
    web = process(namespace, clock, 5)
    read_all(process(namespace, clock, 6), logs(6), clock.ms)
    for _ in range(20):
        web.read("x")
    [line] = [record for record in caplog.records if record.message == "cache.settings_disagree"]
    assert vars(line)["error"] == "partitions is 5 here and 6 at the worker"
    # The worker is corrected, and web processes need no restart.
    assert process(namespace, clock, 5).claim(take_over=True) is None
    read_all(process(namespace, clock, 5), logs(5), clock.ms)
    clock.advance(6)
    keep(web, "x", 7, as_of_ms=clock.ms)
    assert web.read("x").state is State.HIT
    assert [record.message for record in caplog.records].count("cache.settings_agree") == 1


def test_going_back_to_former_settings_makes_no_former_entry_fresh(namespace: str, clock: FakeClock) -> None:
    """It was not evicted while the others were in force."""
    six, five, of = process(namespace, clock, 6), process(namespace, clock, 5), logs(6)
    id = moved_id(five, six)
    read_all(six, of, clock.ms)
    keep(six, id, 7)
    assert five.claim(take_over=True) is None
    # The change comes while five partitions are read: its eviction goes elsewhere.
    of[five.keys.partition_of(id)].add(event(id, 8))
    read_all(five, of[:5], clock.ms)
    assert six.claim(take_over=True) is None
    clock.advance(11)
    read_all(six, of, clock.ms)
    assert six.read(id).state is State.STALE


def test_a_batch_of_a_worker_with_other_settings_changes_nothing(namespace: str, clock: FakeClock) -> None:
    six, five = process(namespace, clock, 6), process(namespace, clock, 5)
    read_all(six, logs(6), clock.ms)
    before = six.watermark(0)
    assert isinstance(five.apply(0, 0, 1, (), clock.ms), OtherSettings)
    assert six.watermark(0) == before


def test_a_worker_is_refused_while_others_are_there(namespace: str, clock: FakeClock) -> None:
    first, second = process(namespace, clock), process(namespace, clock, shared={**TOPIC, "group": "another"})
    assert first.claim() is None
    assert first.claim() is None
    assert second.claim() == first.shared
    with pytest.raises(ConfigurationError, match="group is another here and readers at the worker"):
        LogInvalidator(second, decode).start(0, Log().bounds, None)
    with pytest.raises(ConfigurationError, match="group is another here"):
        QueueInvalidator(second, decode).start(0, Log().bounds, None)
    recorded = first.recorded()
    assert recorded is not None
    # As it is written by one that was there a quarter of a minute ago.
    silent = f"{first.shared.fingerprint}|{recorded.seen_ms - 15_000}|{first.shared.as_json()}"
    first.scripts.redis.set(first.keys.shared_settings, silent)
    assert second.claim() is None
    assert first.claim() == second.shared


def test_a_worker_that_goes_leaves_the_others_time_to_say_that_they_stay(namespace: str, clock: FakeClock) -> None:
    first, second = process(namespace, clock), process(namespace, clock, shared={**TOPIC, "group": "another"})
    first.claim()
    before = first.recorded()
    first.retire()
    after = first.recorded()
    assert before is not None
    assert after is not None
    assert 9_000 < before.seen_ms - after.seen_ms < 11_000
    assert second.claim() == first.shared
    second.retire()
    assert first.recorded() == after


def test_a_worker_from_which_others_have_taken_over_stops(namespace: str, clock: FakeClock) -> None:
    six, five, log = process(namespace, clock, 6), process(namespace, clock, 5), Log(0)
    old = Reader(LogInvalidator(six, decode), log)
    log.add(heartbeat(clock.ms))
    old.begin()
    old.drain()
    assert five.claim(take_over=True) is None
    read_all(five, [log], clock.ms)
    mark = five.watermark(0)
    with pytest.raises(ConfigurationError, match="partitions is 6 here and 5 at the worker"):
        old.step()
    assert five.watermark(0) == mark


def test_an_epoch_of_others_that_are_gone_is_replaced_where_the_worker_reads(namespace: str, clock: FakeClock) -> None:
    """Redis has failed over to what it was before the settings were changed."""
    six, five, log = process(namespace, clock, 6), process(namespace, clock, 5), Log(0)
    read_all(six, [log], clock.ms)
    older = six.scripts.redis.get(six.keys.watermark(0))
    assert older is not None
    assert five.claim(take_over=True) is None
    new = Reader(LogInvalidator(five, decode), log)
    new.begin()
    new.drain()
    five.scripts.redis.set(five.keys.watermark(0), older)
    log.add(heartbeat(clock.ms))
    new.drain()
    mark = five.watermark(0)
    assert mark is not None
    assert (five.is_own(mark), mark.offset) == (True, 1)
