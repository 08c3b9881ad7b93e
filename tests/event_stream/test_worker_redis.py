"""The worker on a real Redis: killed, frozen, cut off, its log forgotten; and the cache that it keeps in step."""

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest
import redis

from event_stream.binders.redis.binder import RedisBinder
from event_stream.binders.redis.connection import Keys
from event_stream.clock import SystemClock
from event_stream.conf import Binding, ConsumerSettings
from event_stream.consumer.worker import StopCondition
from event_stream.errors import PublishError
from event_stream.fenced_cache import LogInvalidator
from event_stream.fenced_cache.cache import MISS
from event_stream.messaging.message import ProducerRecord
from event_stream.testing.reader import Reader
from event_stream.testing.waiting import wait_until
from tests.event_stream.cache_world import decode, event, forget_all, id_at, keep, new_cache
from tests.event_stream.handlers import Recorder
from tests.event_stream.redis_streams import WorkerProcess, making, new_binding, send
from tests.event_stream.running import running
from tests.faults.link import Link

SETTINGS = ConsumerSettings(idle_interval_ms=50, retry_initial_ms=10, retry_max_ms=100)
Start = Callable[[], WorkerProcess]


@pytest.fixture
def binder(event_redis_url: str) -> RedisBinder:
    return making(event_redis_url, 2)


@pytest.fixture
def binding() -> Binding:
    return new_binding(SETTINGS)


@pytest.fixture
def start(event_redis_url: str, binder: RedisBinder, binding: Binding) -> Iterator[Start]:
    """A process in the group that `binding` has."""
    started: list[WorkerProcess] = []

    def start() -> WorkerProcess:
        started.append(WorkerProcess(binding, {"type": "redis", "url": event_redis_url, "partitions": 2}))
        return started[-1]

    yield start
    for process in started:
        process.end()


def test_what_a_killed_worker_had_begun_comes_again(binder: RedisBinder, binding: Binding, start: Start) -> None:
    first = start()
    first.wait_for("ready")
    send(binder, binding, "done", partition=1)
    first.wait_for("handled done")
    send(binder, binding, "hang", partition=1)
    first.wait_for("handled hang")
    first.signal(signal.SIGKILL)
    second = start()
    second.wait_for("handled hang")
    assert "handled done" not in second.seen


def test_a_frozen_worker_is_relieved_and_what_it_says_late_does_not_count(
    binder: RedisBinder, binding: Binding, start: Start
) -> None:
    frozen = start()
    frozen.wait_for("ready")
    frozen.signal(signal.SIGSTOP)
    send(binder, binding, "a", "b", partition=0)
    relief = start()
    relief.wait_for("handled b")
    frozen.signal(signal.SIGCONT)
    # It gets what is its share by now, and nothing of what was done meanwhile.
    frozen.signal(signal.SIGTERM)
    assert frozen.wait() == 0
    relief.signal(signal.SIGTERM)
    assert relief.wait() == 0
    with closing(Reader(binder, binding)) as reader:
        reader.read_until(lambda it: it.owned == {0, 1}, "assigned")
        assert reader.consumer.committed(0) == reader.consumer.bounds([0])[0].end


def test_a_connection_that_is_cut_costs_no_message(
    event_redis_url: str, binder: RedisBinder, binding: Binding, caplog: pytest.LogCaptureFixture
) -> None:
    link = Link(event_redis_url.removeprefix("redis://").partition("/")[0])
    handler = Recorder()
    cut_off = making(f"redis://{link.address}/0", 2)
    with caplog.at_level(logging.INFO, "event_stream.consumer.worker"), running(cut_off, binding, handler):
        wait_until(lambda: "worker.unavailable" in caplog.messages, "nobody is there at first")
        link.open()
        send(binder, binding, "a", partition=0)
        wait_until(lambda: handler.handled == [b"a"], "it is connected")
        for number in range(1, 4):
            # In the middle of whatever it asks.
            link.drop()
            send(binder, binding, "b", partition=1)
            wait_until(lambda number=number: len(handler.handled) > number, "it has come")  # type: ignore[misc]
    link.close()
    assert handler.handled == [b"a", b"b", b"b", b"b"]


@pytest.mark.parametrize("until", [StopCondition.ONCE, StopCondition.CAUGHT_UP])
def test_catches_up_and_ends(binder: RedisBinder, binding: Binding, until: StopCondition) -> None:
    send(binder, binding, *map(str, range(50)))
    handler, again = Recorder(), Recorder()
    for recorder in (handler, again):
        with running(binder, binding, recorder, until) as worker:
            wait_until(lambda worker=worker: worker.ended, "ended")  # type: ignore[misc]
    assert sorted(handler.handled) == sorted(str(number).encode() for number in range(50))
    assert again.handled == []


def test_a_cache_is_kept_in_step_and_a_log_made_anew_begins_an_epoch(
    event_redis_url: str, binder: RedisBinder, binding: Binding
) -> None:
    cache = new_cache(SystemClock(), partitions=2)
    old, new = id_at(cache, 0), id_at(cache, 0, 1)
    now_ms = SystemClock().now_ms()
    producer = binder.producer(binding)

    def tell(id: str, version: int) -> int:
        """Again for as long as it is refused, as the relay does: the destination may just be created again."""
        offsets: list[int] = []

        def sent() -> bool:
            with suppress(PublishError):
                record = ProducerRecord(binding.destination, id.encode(), event(id, version))
                offsets.append(producer.send(record).result(20).offset)
            return bool(offsets)

        wait_until(sent, "it is taken")
        return offsets[0]

    def watermark() -> tuple[bytes, int]:
        found = cache.watermark(0)
        return (found.epoch, found.offset) if found else (b"", -1)

    keep(cache, old, 7, as_of_ms=now_ms)
    with running(binder, binding, LogInvalidator(cache, decode)):
        first = tell(old, 8)
        wait_until(lambda: watermark()[1] == first, "the watermark is at the record, to the microsecond")
        assert cache.read(old) == MISS
        # The cache's own Redis forgets: the worker goes back in the log.
        forget_all(cache)
        wait_until(lambda: watermark()[1] >= 0, "there is a watermark again")
        epoch = watermark()[0]
        # The log's Redis forgets, and more is written than was there before.
        with redis.Redis.from_url(event_redis_url) as client:
            client.delete(*client.keys(f"{Keys('event_stream', binding.destination).topic}*"))
        keep(cache, new, 7, as_of_ms=now_ms)
        last = [tell(new, version) for version in (8, 9, 10)][-1]
        wait_until(lambda: watermark()[1] == last, "all of the new log is applied")
        assert watermark()[0] != epoch
        assert cache.read(new) == MISS
    producer.close(5)
