"""What is counted of signals, and what a scrape makes of sources that fail. In one process, without a server."""

import random
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Histogram

from event_stream import signals
from event_stream.binders.memory import MemoryBinder
from event_stream.conf import Binding, ConsumerSettings
from event_stream.errors import RejectedError, UnavailableError
from event_stream.fenced_cache import CacheStatus, Change, FillOutcome, Found, VersionNotReached
from event_stream.messaging.message import ProducerRecord
from event_stream.metrics import exposition, names
from event_stream.metrics.consumer import Refreshed
from event_stream.metrics.exposition import Sample
from event_stream.metrics.names import BatchHistogram
from event_stream.testing.waiting import wait_until
from tests.event_stream.handlers import Outage, Recorder
from tests.event_stream.running import running
from tests.event_stream.scraped import Scrape, parse

SETTINGS = ConsumerSettings(poll_timeout_ms=20, idle_interval_ms=10, retry_initial_ms=1, retry_max_ms=20)
BINDING = Binding("metered", "things", "memory", group="readers", consumer=SETTINGS)


def scraped() -> Scrape:
    return parse(exposition.exposition().decode())


@pytest.fixture
def sources() -> Iterator[None]:
    before = exposition._computed_now.sources
    exposition._computed_now.sources = []
    yield
    exposition._computed_now.sources = before


def test_a_batch_is_observed_as_one_value_after_another_would_be() -> None:
    drawn = random.Random(4)
    values = [drawn.expovariate(0.3) for _ in range(500)] + [0.0, 1.0, 2.5, 10.0, 1e9]
    singly, together = CollectorRegistry(), CollectorRegistry()
    buckets = (0.1, 1, 2.5, 10)
    one = Histogram("things_seconds", "Things.", ["of"], buckets=buckets, registry=singly)
    many = BatchHistogram("things_seconds", "Things.", ["of"], buckets=buckets, registry=together)
    for value in values:
        one.labels("us").observe(value)
    many.labels("us").observe_many(values[:300])
    many.labels("us").observe_many(values[300:])
    many.labels("us").observe_many([])

    def samples(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
        return {
            (sample.name, sample.labels.get("le", "")): sample.value
            for family in registry.collect()
            for sample in family.samples
        }

    assert samples(together) == pytest.approx(samples(singly))


def test_what_a_worker_does_is_counted() -> None:
    binder, server, before = MemoryBinder("memory", {"partitions": 2}), Outage(), scraped()

    def answer(_batch: object) -> None:
        server.check()

    handler = Recorder(answer=answer)
    with running(binder, BINDING, handler):
        for number in range(7):
            binder.append(ProducerRecord("things", b"%d" % number, b"a"))
        wait_until(lambda: len(handler.handled) == 7, "all are handled")
        server.away.set()
        binder.append(ProducerRecord("things", b"0", b"b"))
        wait_until(
            lambda: scraped().total("event_stream_worker_failing_partitions", binding="metered") == 1, "it is paused"
        )
        server.away.clear()
        wait_until(lambda: len(handler.handled) == 8, "it goes on")
        wait_until(
            lambda: scraped().total("event_stream_worker_failing_partitions", binding="metered") == 0, "it is counted"
        )
        after = scraped()

    def grown(name: str) -> float:
        return after.total(name, binding="metered") - before.total(name, binding="metered")

    assert grown("event_stream_worker_delivery_lag_seconds_count") == 8
    done, again = grown("event_stream_worker_batch_duration_seconds_count"), grown("event_stream_worker_retries_total")
    assert again >= 1
    assert done + again == len(handler.batches)
    assert after.value("event_stream_worker_partitions", binding="metered") == 2


def test_what_lookups_and_fills_end_with_is_counted() -> None:
    before = scraped()
    found = [Found(b"x", 1, 0, status) for status in CacheStatus]
    for answer in [*found, found[0]]:
        signals.lookup_answered.send_robust(None, id="1", found=answer, error=None, seconds=0.25)
    # It has answered, from where its answer says.
    too_old = VersionNotReached(Found(b"x", 1, 0, CacheStatus.BYPASS), 2)
    signals.lookup_answered.send_robust(None, id="1", found=None, error=too_old, seconds=0.25)
    signals.lookup_answered.send_robust(None, id="1", found=None, error=UnavailableError("away"), seconds=0.25)
    for outcome in (*FillOutcome, None, FillOutcome.FILLED):
        signals.cache_filled.send_robust(None, id="1", version=1, outcome=outcome)
    signals.origin_called.send_robust(None, outcome="answered", attempt=2, seconds=0.1)
    changes = [Change("1", None, None, 1_000), Change("2", None, None, 2_000), Change("3", None, None, None)]
    signals.changes_applied.send_robust(None, partition=0, changes=changes, applied_at_ms=4_000)
    after = scraped()

    def grown(name: str, **labels: str) -> float:
        return after.total(name, **labels) - before.total(name, **labels)

    lookups = "event_stream_cache_lookup_duration_seconds_count"
    results = ("hit", "miss", "stale", "bypass", "failed")
    assert [grown(lookups, result=result) for result in results] == [2, 1, 1, 2, 1]
    assert grown("event_stream_cache_lookup_duration_seconds_sum") == pytest.approx(7 * 0.25)
    assert grown("event_stream_cache_answer_age_seconds_count") == 3
    fills = ("filled", "lease_lost", "older", "unavailable")
    assert [grown("event_stream_cache_fills_total", outcome=outcome) for outcome in fills] == [2, 1, 1, 1]
    assert grown("event_stream_origin_calls_total", outcome="answered") == 1
    assert grown("event_stream_origin_retries_total") == 1
    assert grown("event_stream_cache_eviction_lag_seconds_count") == 2
    assert grown("event_stream_cache_eviction_lag_seconds_sum") == pytest.approx(5)


def test_what_is_given_up_is_counted() -> None:
    binder, before = MemoryBinder("memory", {"partitions": 1}), scraped()
    binder.append(ProducerRecord("rejected-things", None, b"{"))
    [record] = binder.read(Binding("any", "rejected-things", "memory"))
    signals.record_rejected.send_robust(None, record=record, error=RejectedError("no"))
    name = "event_stream_records_rejected_total"
    assert scraped().total(name, destination="rejected-things") - before.total(name, destination="rejected-things") == 1


class Shelf:
    """A source that answers, or does not."""

    def __init__(self, name: str, *samples: Sample, error: Exception | None = None) -> None:
        self.name, self.samples, self.error = name, samples, error

    def read(self) -> Iterator[Sample]:
        yield from self.samples
        if self.error is not None:
            raise self.error


@pytest.mark.usefixtures("sources")
def test_a_source_that_is_away_leaves_its_numbers_out_and_takes_no_other_along(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # The number that it has told by then is left out, too: half of a picture is no picture.
    away = Shelf("database", Sample(names.OUTBOX_WAITING, 4, ("a",)), error=UnavailableError("no route"))
    exposition.register(away)
    exposition.register(Shelf("cache", Sample(names.WATERMARK_AGE, 1.5, ("0",)), Sample(names.MAX_STALENESS, 10)))
    exposition.register(Shelf("other cache", Sample(names.WATERMARK_AGE, 2.5, ("1",))))

    found = scraped()
    assert found.values("event_stream_outbox_waiting_entries") == []
    assert found.value("event_stream_metrics_source_up", source="database") == 0
    assert found.value("event_stream_metrics_source_up", source="cache") == 1
    # Two sources of one family.
    assert found.value("event_stream_cache_watermark_age_seconds", partition="0") == 1.5
    assert found.value("event_stream_cache_watermark_age_seconds", partition="1") == 2.5
    scraped()
    assert caplog.text.count("metrics.source_unavailable") == 1

    away.error = None
    found = scraped()
    assert found.value("event_stream_outbox_waiting_entries", binding="a") == 4
    assert found.value("event_stream_metrics_source_up", source="database") == 1
    assert [record.__dict__["source"] for record in caplog.records] == ["database"]


def test_a_slow_platform_is_asked_once_however_many_scrapes_want_to_know() -> None:
    asked: list[int] = []
    answers: Iterator[int | Exception] = iter([1, UnavailableError("away"), 3])

    def ask() -> int:
        asked.append(1)
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    waiting = Refreshed(ask, every_s=3600)
    assert [waiting.get() for _ in range(3)] == [1, 1, 1]
    assert len(asked) == 1
    waiting._asked_s = float("-inf")
    for _ in range(2):
        with pytest.raises(UnavailableError, match="away"):
            waiting.get()
    waiting._asked_s = float("-inf")
    assert waiting.get() == 3
    assert len(asked) == 3
