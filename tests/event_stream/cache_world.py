"""What the tests of the cache stand on: a clock that is told the time, caches that share nothing, logs in memory."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.test import override_settings

from event_stream.clock import Clock
from event_stream.consumer.handler import Batch, Handled, SeekTo
from event_stream.errors import ConversionError
from event_stream.fenced_cache import CacheSettings, Change, FencedCache, Heartbeat, LogInvalidator
from event_stream.messaging.binder import OffsetRange
from event_stream.messaging.message import ConsumerRecord

NOW_MS = 1_795_000_000_000
PAYLOAD = b'{"name": "a|b", "contactName": null}'


class FakeClock:
    """A clock that a test moves."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.ms = now_ms

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000

    def advance(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


def new_cache(clock: Clock | None = None, *, partitions: int = 6, **settings: Any) -> FencedCache:
    """A cache in a namespace of its own, on the server of CACHES["default"]."""
    namespace = f"t{uuid.uuid4().hex}"
    return FencedCache(
        namespace=namespace, partitions=partitions, settings=CacheSettings(**settings), clock=clock or FakeClock()
    )


@contextmanager
def caches_at(url: str, **options: Any) -> Iterator[None]:
    """CACHES["default"] on another server. Make the cache's connection within.

    django-redis has one pool for each URL in a process: the `options` of who names a URL first are everybody's.
    """
    default = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": url, "OPTIONS": options}
    with override_settings(CACHES={"default": default}):
        yield


def keep(cache: FencedCache, id: str, version: int, value: bytes | None = PAYLOAD, *, as_of_ms: int = NOW_MS) -> None:
    """Fill it in as a reader does."""
    lease = cache.lease(id)
    assert lease is not None
    cache.fill(lease, version, value, as_of_ms)


def raw(cache: FencedCache, id: str) -> bytes | None:
    """The entry as it lies in Redis."""
    found = cache.scripts.redis.get(cache.keys.entry(id, cache.keys.partition_of(id)))
    assert found is None or isinstance(found, bytes)
    return found


def id_at(cache: FencedCache, partition: int, number: int = 0) -> str:
    """An id of this partition."""
    names = (f"id-{n}" for n in range(10_000))
    return [name for name in names if cache.keys.partition_of(name) == partition][number]


def forget_all(cache: FencedCache) -> None:
    """FLUSHALL, as far as this cache is concerned."""
    for key in cache.scripts.redis.scan_iter(match=f"{{{cache.keys.namespace}*"):
        cache.scripts.redis.delete(key)


class Log:
    """One partition of a log, and a worker's way of reading it: what the worker does with an applier's answers."""

    def __init__(self, partition: int = 0, start: int = 0) -> None:
        self.partition = partition
        self.start = start
        self.records: list[ConsumerRecord] = []
        self.end = start

    @property
    def bounds(self) -> OffsetRange:
        return OffsetRange(self.start, self.end)

    def add(self, value: bytes | None, *, key: bytes | None = None, skip: int = 0) -> ConsumerRecord:
        """At the log's end, after `skip` offsets that hold no record."""
        offset = self.end + skip
        record = ConsumerRecord("topic", self.partition, offset, key, value, (), NOW_MS)
        self.records.append(record)
        self.end = offset + 1
        return record

    def batch(self, position: int, count: int = 1000) -> Batch:
        at = [record for record in self.records if record.offset >= max(position, self.start)]
        return Batch(self.partition, position - 1, at[:count])


class Reader:
    """One worker on one partition."""

    def __init__(self, applier: LogInvalidator, log: Log, *, batch: int = 1000) -> None:
        self.applier = applier
        self.log = log
        self.size = batch
        self.committed: int | None = None
        self.position = 0

    def begin(self) -> None:
        self.position = self.applier.start(self.log.partition, self.log.bounds, self.committed)

    def step(self) -> bool:
        """One poll; False where there was nothing to read."""
        batch = self.log.batch(self.position, self.size)
        if not batch.records:
            return False
        outcome = self.applier.handle(batch)
        if isinstance(outcome, SeekTo):
            self.position = outcome.offset
        else:
            assert isinstance(outcome, Handled)
            self.position = self.committed = batch.records[-1].offset + 1
        return True

    def idle(self) -> None:
        wanted = self.applier.idle(self.log.partition, self.position, self.log.bounds)
        if wanted is not None:
            self.position = wanted

    def drain(self, most: int = 100) -> None:
        """Until nothing is left and nothing is wanted."""
        for _ in range(most):
            before = self.position
            if not self.step():
                self.idle()
                if self.position == before:
                    return
        raise AssertionError(f"still not in step after {most} polls, at {self.position} of {self.log.bounds}")


def event(id: str, version: int | None = None) -> bytes:
    """A record's value that `decode` understands; so are `heartbeat` and "nothing"."""
    return f"event {id} {'' if version is None else version}".encode()


def heartbeat(as_of_ms: int) -> bytes:
    return f"heartbeat {as_of_ms}".encode()


def decode(record: ConsumerRecord) -> Change | Heartbeat | None:
    match (record.value or b"?").decode().split(" "):
        case ["event", id, version]:
            return Change(id, int(version) if version else None, correlation_id=f"c-{record.offset}")
        case ["heartbeat", as_of_ms]:
            return Heartbeat(int(as_of_ms))
        case ["nothing"]:
            return None
        case other:
            raise ConversionError(f"neither an event nor a heartbeat: {other}")
