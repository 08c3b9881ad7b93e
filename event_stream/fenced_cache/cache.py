"""READ, LEASE, FILL, EVICT and APPLY on a real server; `tests/model` has the same protocol as a model."""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from importlib.resources import files
from typing import Any, cast

from django.core.cache import InvalidCacheBackendError
from django_redis import get_redis_connection
from redis import Redis, RedisError, ResponseError
from redis.commands.core import Script

from event_stream.clock import Clock, SystemClock
from event_stream.errors import ConfigurationError, RefusedError, UnavailableError
from event_stream.fenced_cache.entry import (
    Value,
    Watermark,
    checked_representation,
    checked_version,
    parse_entry,
    parse_watermark,
)
from event_stream.fenced_cache.keys import KeySpace
from event_stream.fenced_cache.settings import CacheSettings

# What goes into the cache's operations and what comes out of them.


class State(Enum):
    """What a reading is worth."""

    HIT = "hit"
    """A value, proven to have been current no longer ago than BOUND."""
    STALE = "stale"
    """A value that is fresh no longer."""
    MISS = "miss"


@dataclass(frozen=True, slots=True)
class Reading:
    """What the cache says of an id. `value` is None for a MISS, and where the id is known to be absent.

    `fresh_at_ms` (since the Unix epoch) is when the value is proven to have been current.
    """

    state: State
    value: bytes | None = None
    version: int = 0
    fresh_at_ms: int = 0


MISS = Reading(State.MISS)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to fill one entry, until it is used, cleared by an eviction, or over."""

    id: str
    token: bytes


class FillOutcome(Enum):
    """What became of an answer that was to be kept."""

    FILLED = 1
    LEASE_LOST = 0
    """An eviction came in between, or the lease was over: the answer may be older than the event."""
    OLDER = -1
    """The cache knows of a newer version."""


@dataclass(frozen=True, slots=True)
class Eviction:
    """A change of an id; `version` is None where the event has none."""

    id: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """The batch is in. `epoch` is the watermark's; `new_epoch`: the batch had to begin it."""

    epoch: str
    new_epoch: bool


@dataclass(frozen=True, slots=True)
class OutOfStep:
    """The watermark stands at this offset, not at the batch's predecessor; nothing was done."""

    offset: int


class FencedCache:
    """A cache in Redis that is told of changes by a log, and can prove how fresh a value is.

    One instance serves all threads of a process. `partitions` must be the log's number of partitions, and the same in
    every process that uses the namespace. Each method raises UnavailableError where Redis can't be reached or refuses,
    and may then be called again.

    `representation` names the shape of the values. Processes with another one may use the same namespace at the same
    time, as in a rolling deployment: each reads only values of its own representation, an eviction removes values of
    all. Derive the name from the code that encodes the values, so that it changes whenever that code does.
    """

    def __init__(
        self,
        alias: str = "default",
        *,
        namespace: str = "o",
        partitions: int = 6,
        settings: CacheSettings | None = None,
        clock: Clock | None = None,
        representation: bytes = b"",
    ) -> None:
        self.representation = checked_representation(representation)
        self._as_of_suffix = f"~{representation.decode()}" if representation else ""
        self.keys = KeySpace(namespace, partitions)
        self.settings = settings or CacheSettings()
        self.clock = clock or SystemClock()
        self.scripts = Scripts(alias)
        self._max_staleness_ms = int(self.settings.max_staleness_s * 1000)
        self._hard_ttl_ms = int(self.settings.hard_ttl_s * 1000)
        self._tombstone_ttl_ms = int(self.settings.tombstone_ttl_s * 1000)

    def read(self, id: str) -> Reading:
        """One round trip, no script."""
        home = self.keys.home(id)
        try:
            entry, watermark = self.scripts.redis.mget(self.keys.entry(id, home), self.keys.watermark(home))
        except RedisError as error:
            raise unavailable(error) from error
        value = parse_entry(cast("bytes | None", entry))
        if not isinstance(value, Value) or not value.readable_as(self.representation):
            return MISS
        fresh_at_ms = value.fresh_at_ms(parse_watermark(cast("bytes | None", watermark)))
        # A proof from the future proves nothing: the clocks are further apart than BOUND.
        vouched = abs(self.clock.now_ms() - fresh_at_ms) <= self._max_staleness_ms
        return Reading(State.HIT if vouched else State.STALE, value.payload, value.version, fresh_at_ms)

    def lease(self, id: str) -> Lease | None:
        """The right to ask the origin and fill; None while somebody else has it."""
        home = self.keys.home(id)
        token = self.scripts.run(
            "lease",
            [self.keys.lease(id, home), self.keys.watermark(home)],
            [secrets.token_hex(8), self.settings.lease_ms],
        )
        return Lease(id, token) if token else None

    def fill(self, lease: Lease, version: int, value: bytes | None, as_of_ms: int) -> FillOutcome:
        """Keep what the origin answered (None: nothing there) when asked, at `as_of_ms` or later. Uses the lease up."""
        if value == b"":
            raise ValueError("a value must not be empty; None stands for a known absence")
        home = self.keys.home(lease.id)
        kind, as_of = ("A", str(as_of_ms)) if value is None else ("V", f"{as_of_ms}{self._as_of_suffix}")
        answer = self.scripts.run(
            "fill",
            [self.keys.entry(lease.id, home), self.keys.lease(lease.id, home)],
            [lease.token, kind, checked_version(version), as_of, self._hard_ttl_ms, value or b""],
        )
        return FillOutcome(answer)

    def release(self, lease: Lease) -> None:
        """Give the lease up unused."""
        self.scripts.run("release", [self.keys.lease(lease.id, self.keys.home(lease.id))], [lease.token])

    def evict(self, evictions: Iterable[Eviction]) -> None:
        """Changes of ids wherever their home is, without moving a watermark: one script for each home."""
        by_home: dict[int, list[Eviction]] = {}
        for eviction in evictions:
            by_home.setdefault(self.keys.home(eviction.id), []).append(eviction)
        for home, of_home in by_home.items():
            self.scripts.run("evict", self._pairs(home, of_home), [self._tombstone_ttl_ms, *_versions(of_home)])

    def apply(
        self, partition: int, predecessor: int, last: int, evictions: Iterable[Eviction], as_of_ms: int
    ) -> Applied | OutOfStep:
        """The records after offset `predecessor` up to `last`, in one step with the watermark.

        `evictions` must have their home on this partition; `as_of_ms` is the greatest heartbeat's, 0 for none. An empty
        batch (`last == predecessor`) asks whether the reader is in step. Without a watermark, a new epoch begins.
        """
        of_batch = list(evictions)
        epoch = _new_epoch()
        in_step, answer = self.scripts.run(
            "apply",
            [self.keys.watermark(partition), *self._pairs(partition, of_batch)],
            [predecessor, last, as_of_ms, epoch, self._tombstone_ttl_ms, *_versions(of_batch)],
        )
        if not in_step:
            return OutOfStep(int(answer))
        return Applied(answer.decode(), new_epoch=answer.decode() == epoch)

    def watermark(self, partition: int) -> Watermark | None:
        try:
            return parse_watermark(cast("bytes | None", self.scripts.redis.get(self.keys.watermark(partition))))
        except RedisError as error:
            raise unavailable(error) from error

    def forget_watermark(self, partition: int) -> None:
        """Nothing in the partition is fresh by a log from here on: none is read."""
        try:
            self.scripts.redis.delete(self.keys.watermark(partition))
        except RedisError as error:
            raise unavailable(error) from error

    def begin_epoch(self, partition: int, offset: int, *, instead_of: Watermark | None) -> bool:
        """Go on after `offset` without knowing what came before. False where the watermark is another one by now."""
        expected = b"%b|%d" % (instead_of.epoch, instead_of.offset) if instead_of else b""
        args = [expected, _new_epoch(), offset]
        return bool(self.scripts.run("begin_epoch", [self.keys.watermark(partition)], args))

    def ids(self) -> Iterator[str]:
        """Every id that has an entry, in no order. One may come twice; one that is new or goes meanwhile may not."""
        for partition in range(self.keys.partitions):
            try:
                for key in self.scripts.redis.scan_iter(match=self.keys.entries_pattern(partition), count=1000):
                    yield self.keys.id_of(cast("bytes", key).decode(), partition)
            except RedisError as error:
                raise unavailable(error) from error

    def _pairs(self, home: int, evictions: Iterable[Eviction]) -> list[str]:
        keys = self.keys
        return [key for each in evictions for key in (keys.entry(each.id, home), keys.lease(each.id, home))]


def _versions(evictions: Iterable[Eviction]) -> list[int | str]:
    return ["" if each.version is None else checked_version(each.version) for each in evictions]


def _new_epoch() -> str:
    return secrets.token_hex(8)


# The scripts, on django-redis' connections.

# A script's name, and the files it is put together from.
_SCRIPTS = {
    "lease": ("lease",),
    "fill": ("fill",),
    "release": ("release",),
    "evict": ("eviction", "evict"),
    "apply": ("eviction", "apply"),
    "begin_epoch": ("begin_epoch",),
}


def source(*names: str) -> str:
    """The text of these files, one after another."""
    folder = files("event_stream.fenced_cache") / "scripts"
    return "\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)


def unavailable(error: RedisError) -> UnavailableError:
    kind = RefusedError if isinstance(error, ResponseError) else UnavailableError
    return kind(f"Redis: {error or type(error).__name__}")


class Scripts:
    """CACHES is the one place where the connection is configured; the server may be away until the first call."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    @cached_property
    def redis(self) -> Redis:
        try:
            return cast("Redis", get_redis_connection(self._alias))
        except (InvalidCacheBackendError, NotImplementedError) as error:
            raise ConfigurationError(
                f'CACHES["{self._alias}"]["BACKEND"] should be "django_redis.cache.RedisCache": {error}'
            ) from error

    @cached_property
    def _registered(self) -> dict[str, Script]:
        return {name: self.redis.register_script(source(*parts)) for name, parts in _SCRIPTS.items()}

    def run(self, name: str, keys: Sequence[str], args: Iterable[Any]) -> Any:
        """Every key that the script touches is in `keys`, and all are in one slot. Raises UnavailableError."""
        try:
            return self._registered[name](keys, args)
        except RedisError as error:
            raise unavailable(error) from error
