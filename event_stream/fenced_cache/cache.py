"""READ, LEASE, FILL, EVICT and APPLY on a real server; `tests/model` has the same protocol as a model."""

import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from importlib.resources import files
from typing import Any, TypeVar, cast

from django.core.cache import InvalidCacheBackendError
from django_redis import get_redis_connection
from redis import ReadOnlyError, Redis, RedisError, ResponseError
from redis.cluster import RedisCluster
from redis.commands.core import Script
from redis.exceptions import RedisClusterException

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
from event_stream.fenced_cache.shared_settings import (
    RETIRED_AFTER_S,
    SILENT_AFTER_S,
    SettingsRecord,
    SharedSettings,
    parse_record,
)
from event_stream.outage_log import OutageLog

logger = logging.getLogger("event_stream.fenced_cache")

_QUIET_S = 5.0
"""While a worker takes over, partitions with its epoch and with an older one are read by turns."""

_CONTENDED_S = 60

FAULTS = (RedisError, RedisClusterException)
"""What a call of redis-py raises; its class for clusters has one of its own."""

T = TypeVar("T")

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
    """The watermark stands at this offset, not at the batch's previous offset; nothing was done."""

    offset: int


@dataclass(frozen=True, slots=True)
class OtherSettings:
    """A worker with other settings began the watermark's epoch; nothing was done."""


class FencedCache:
    """A cache in Redis that is told of changes by a log, and can prove how fresh a value is.

    One instance serves all threads of a process. `partitions` must be the log's number of partitions, and the same in
    every process that uses the namespace. Each method raises UnavailableError where Redis can't be reached or refuses,
    and may then be called again.

    `representation` names the shape of the values. Processes with another one may use the same namespace at the same
    time, as in a rolling deployment: each reads only values of its own representation, an eviction removes values of
    all. Derive the name from the code that encodes the values, so that it changes whenever that code does.

    `shared` are settings that all processes of the namespace must have in common, by name; `partitions` is always one.
    Each epoch names the settings of the worker that began it. A process with other ones finds that with the watermark
    that it reads anyway: nothing is fresh there, no lease is given, and no batch is applied.
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
        shared: Mapping[str, str] | None = None,
    ) -> None:
        self.shared = SharedSettings({"partitions": str(partitions), **(shared or {})})
        self._fingerprint = self.shared.fingerprint
        self._own_epochs = f"{self._fingerprint}.".encode()
        self.representation = checked_representation(representation)
        self._as_of_suffix = f"~{representation.decode()}" if representation else ""
        self.keys = KeySpace(namespace, partitions)
        self.configure(settings or CacheSettings())
        self.clock = clock or SystemClock()
        self.scripts = Scripts(alias)
        self._disagreement = OutageLog(
            logger,
            began="cache.settings_disagree",
            ended="cache.settings_agree",
            level=logging.ERROR,
            quiet_s=_QUIET_S,
            monotonic_s=self.clock.monotonic_s,
        )

    def configure(self, settings: CacheSettings) -> None:
        """Have these settings from now on. From any thread.

        They need not be the same in all processes: each judges what it reads by its own maximum staleness, a lease and
        an entry carry the times of the process that took or filled it, and what is late is refused.
        """
        self.settings = settings
        self.max_staleness_ms = int(settings.max_staleness_s * 1000)
        self._hard_ttl_ms = int(settings.hard_ttl_s * 1000)
        self._tombstone_ttl_ms = int(settings.tombstone_ttl_s * 1000)

    def read(self, id: str) -> Reading:
        """One round trip, no script."""
        partition = self.keys.partition_of(id)
        try:
            entry, watermark = self.scripts.redis.mget(self.keys.entry(id, partition), self.keys.watermark(partition))
        except FAULTS as error:
            raise unavailable(error) from error
        value = parse_entry(cast("bytes | None", entry))
        mark = self._own_watermark(parse_watermark(cast("bytes | None", watermark)))
        if not isinstance(value, Value) or not value.readable_as(self.representation):
            return MISS
        fresh_at_ms = value.fresh_at_ms(mark)
        # A proof from the future proves nothing: the clocks are further apart than BOUND.
        is_fresh = abs(self.clock.now_ms() - fresh_at_ms) <= self.max_staleness_ms and not self.disagrees
        return Reading(State.HIT if is_fresh else State.STALE, value.payload, value.version, fresh_at_ms)

    def lease(self, id: str) -> Lease | None:
        """The right to ask the origin and fill; None while somebody else has it."""
        partition = self.keys.partition_of(id)
        token = self.scripts.run(
            "lease",
            [self.keys.lease(id, partition), self.keys.watermark(partition)],
            [secrets.token_hex(8), self.settings.lease_ms, self._own_epochs],
        )
        return Lease(id, token) if token else None

    def fill(self, lease: Lease, version: int, value: bytes | None, as_of_ms: int) -> FillOutcome:
        """Keep what the origin answered (None: nothing there) when asked, at `as_of_ms` or later. Uses the lease up."""
        if value == b"":
            raise ValueError("a value must not be empty; None stands for a known absence")
        partition = self.keys.partition_of(lease.id)
        kind, as_of = ("A", str(as_of_ms)) if value is None else ("V", f"{as_of_ms}{self._as_of_suffix}")
        answer = self.scripts.run(
            "fill",
            [self.keys.entry(lease.id, partition), self.keys.lease(lease.id, partition)],
            [lease.token, kind, checked_version(version), as_of, self._hard_ttl_ms, value or b""],
        )
        return FillOutcome(answer)

    def release(self, lease: Lease) -> None:
        """Give the lease up unused."""
        self.scripts.run("release", [self.keys.lease(lease.id, self.keys.partition_of(lease.id))], [lease.token])

    def evict(self, evictions: Iterable[Eviction]) -> None:
        """Changes of ids of any partition, without moving a watermark: one script for each partition."""
        by_partition: dict[int, list[Eviction]] = {}
        for eviction in evictions:
            by_partition.setdefault(self.keys.partition_of(eviction.id), []).append(eviction)
        for partition, of_partition in by_partition.items():
            self.scripts.run(
                "evict", self._pairs(partition, of_partition), [self._tombstone_ttl_ms, *_versions(of_partition)]
            )

    def apply(
        self, partition: int, previous_offset: int, last: int, evictions: Iterable[Eviction], as_of_ms: int
    ) -> Applied | OutOfStep | OtherSettings:
        """The records after offset `previous_offset` up to `last`, in one step with the watermark.

        The ids of `evictions` must be of this partition; `as_of_ms` is the greatest heartbeat's, 0 for none. An empty
        batch (`last == previous_offset`) asks whether the reader is in step. Without a watermark, a new epoch begins.
        """
        of_batch = list(evictions)
        epoch = self._new_epoch()
        outcome, answer = self.scripts.run(
            "apply",
            [self.keys.watermark(partition), *self._pairs(partition, of_batch)],
            [previous_offset, last, as_of_ms, epoch, self._tombstone_ttl_ms, *_versions(of_batch)],
        )
        if outcome < 0:
            return OtherSettings()
        if not outcome:
            return OutOfStep(int(answer))
        return Applied(answer.decode(), new_epoch=answer.decode() == epoch)

    def watermark(self, partition: int) -> Watermark | None:
        try:
            return parse_watermark(cast("bytes | None", self.scripts.redis.get(self.keys.watermark(partition))))
        except FAULTS as error:
            raise unavailable(error) from error

    def forget_watermark(self, partition: int) -> None:
        """Nothing in the partition is fresh by a log from here on: none is read."""
        self.scripts.write(lambda: self.scripts.redis.delete(self.keys.watermark(partition)))

    def begin_epoch(self, partition: int, offset: int, *, instead_of: Watermark | None) -> bool:
        """Go on after `offset` without knowing what came before. False where the watermark is another one by now."""
        expected = b"%b|%d" % (instead_of.epoch, instead_of.offset) if instead_of else b""
        args = [expected, self._new_epoch(), offset]
        return bool(self.scripts.run("begin_epoch", [self.keys.watermark(partition)], args))

    # The settings that processes share.

    @property
    def disagrees(self) -> bool:
        """Whether the watermarks read last were those of a worker with other settings: then no entry is fresh here."""
        return self._disagreement.is_on()

    def is_own(self, watermark: Watermark) -> bool:
        """Whether a worker with the same settings began its epoch."""
        return watermark.epoch.startswith(self._own_epochs)

    def claim(self, *, take_over: bool = False) -> SharedSettings | None:
        """Record that a worker with these settings is there: None; or the settings of others that are there.

        The record of others is replaced once they have been silent for SILENT_AFTER_S, or at once with `take_over`.
        """
        silent_ms = "" if take_over else int(SILENT_AFTER_S * 1000)
        args = [self._fingerprint, self.shared.as_json(), silent_ms]
        record = parse_record(self.scripts.run("claim", [self.keys.shared_settings], args))
        return record.settings if record else None

    def retire(self) -> None:
        """Record that this worker goes. One with other settings waits no longer than others need to say otherwise."""
        args = [self._fingerprint, self.shared.as_json(), int(SILENT_AFTER_S * 1000), int(RETIRED_AFTER_S * 1000)]
        self.scripts.run("retire", [self.keys.shared_settings], args)

    def recorded(self) -> SettingsRecord | None:
        """The settings of the workers; None before the first."""
        try:
            return parse_record(cast("bytes | None", self.scripts.redis.get(self.keys.shared_settings)))
        except FAULTS as error:
            raise unavailable(error) from error

    def record_contention(self, reason: str) -> None:
        """Have `contention` answer this for a minute."""
        self.scripts.write(lambda: self.scripts.redis.set(self.keys.contended, reason, ex=_CONTENDED_S))

    def contention(self) -> str | None:
        """Return what a worker has lately found of other workers that undo its work; None for nothing."""
        try:
            reason = cast("bytes | None", self.scripts.redis.get(self.keys.contended))
        except FAULTS as error:
            raise unavailable(error) from error
        return None if reason is None else reason.decode(errors="replace")

    def disagreement(self) -> str | None:
        """How these settings differ from those of the workers, in words; None where they do not."""
        recorded = self.recorded()
        if recorded is None or recorded.settings == self.shared:
            return None
        return self.shared.difference(recorded.settings)

    def _own_watermark(self, watermark: Watermark | None) -> Watermark | None:
        """None where it says nothing about the entries that are read here."""
        if watermark is None:
            return None
        if self.is_own(watermark):
            self._disagreement.succeeded()
            return watermark
        self._disagreement.failed("" if self.disagrees else self._explanation())
        return None

    def _explanation(self) -> str:
        try:
            return self.disagreement() or "a worker of another version, or with settings that it no longer has"
        except UnavailableError as error:
            return f"their record can't be read: {error}"

    def _new_epoch(self) -> str:
        return f"{self._fingerprint}.{secrets.token_hex(8)}"

    def ids(self) -> Iterator[str]:
        """Every id that has an entry, in no order. One may come twice; one that is new or goes meanwhile may not."""
        for partition in range(self.keys.partitions):
            try:
                for key in self.scripts.redis.scan_iter(match=self.keys.entries_pattern(partition), count=1000):
                    yield self.keys.id_of(cast("bytes", key).decode(), partition)
            except FAULTS as error:
                raise unavailable(error) from error

    def _pairs(self, partition: int, evictions: Iterable[Eviction]) -> list[str]:
        keys = self.keys
        return [key for each in evictions for key in (keys.entry(each.id, partition), keys.lease(each.id, partition))]


def _versions(evictions: Iterable[Eviction]) -> list[int | str]:
    return ["" if each.version is None else checked_version(each.version) for each in evictions]


# The scripts, on django-redis' connections.

# A script's name, and the files it is put together from.
_SCRIPTS = {
    "lease": ("lease",),
    "fill": ("fill",),
    "release": ("release",),
    "evict": ("eviction", "evict"),
    "apply": ("eviction", "apply"),
    "begin_epoch": ("begin_epoch",),
    "claim": ("claim",),
    "retire": ("retire",),
}


def source(*names: str) -> str:
    """The text of these files, one after another."""
    folder = files("event_stream.fenced_cache") / "scripts"
    return "\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)


def unavailable(error: RedisError | RedisClusterException) -> UnavailableError:
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
        return self.write(lambda: self._registered[name](keys, args))

    def write(self, command: Callable[[], T]) -> T:
        """Return what the command returns. Raises UnavailableError.

        A primary that was demoted keeps its connections, and refuses every write on them. The new one may be behind the
        same address already, so the command is tried once more on a new connection; a refused one has done nothing.
        """
        try:
            try:
                return command()
            except ReadOnlyError:
                if isinstance(self.redis, RedisCluster):
                    # There, a demoted primary says where the new one is, and redis-py goes to it.
                    raise
                self.redis.connection_pool.disconnect(inuse_connections=False)
                return command()
        except FAULTS as error:
            raise unavailable(error) from error
