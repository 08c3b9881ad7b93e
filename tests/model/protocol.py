"""The cache protocol as pure functions: what each script does to one organization's keys in Redis.

A `Cache` is the state of three keys: the organization's entry, its lease, and the watermark of its partition. Every
function takes one and returns the next; none of them keeps anything, reads a clock or makes an identifier. So the same
functions are searched exhaustively (`world`) and can be held against the real scripts on a real server. For several
organizations of one partition hold one `Cache` each and apply every batch to all of them, each with its own events: the
watermarks then stay equal.

Units: versions and offsets are integers; `as_of` is an integer time of the caller's choosing (milliseconds in Redis,
numbers of commits in the search), and means "every commit before it is accounted for". Tokens and epochs are only ever
compared for equality.

An absent organization is a value like any other: the fact that it is absent, with a version. Nothing here looks at what
a version stands for.

What is not here, because it may happen at any moment and needs no function: Redis forgetting the entry, the lease or
the watermark (each is set to None), and the clock (BOUND is compared with `fresh_at` by the reader).
"""

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple, TypeAlias

Version: TypeAlias = int
Time: TypeAlias = int
Token: TypeAlias = int | str
Epoch: TypeAlias = int | str

NEVER: Time = 0
"""The `as_of` of a watermark that proves nothing yet."""


class Value(NamedTuple):
    """`V|version|epoch|as_of|json`: an answer of the organization service. No epoch: leased without a watermark."""

    version: Version
    epoch: Epoch | None
    as_of: Time


class Floor(NamedTuple):
    """`T|version`: no value, and none below `version` may be filled in."""

    version: Version


class Lease(NamedTuple):
    """`token|epoch`: the one reader that may fill, and the epoch of the watermark when it got that right."""

    token: Token
    epoch: Epoch | None


class Watermark(NamedTuple):
    """`epoch|offset|as_of`: the records up to and with `offset` are applied, and so the commits before `as_of`."""

    epoch: Epoch
    offset: int
    as_of: Time


class Cache(NamedTuple):
    entry: Value | Floor | None = None
    lease: Lease | None = None
    watermark: Watermark | None = None


class Filled(Enum):
    FILLED = "filled"
    NOT_HOLDER = "refused: the lease is not the reader's own"
    OLDER = "refused: older than what is there"


class Applied(Enum):
    OK = "applied"
    NEW = "no watermark: a new epoch was started, apply the batch again"
    SEEK = "not the batch that follows the watermark: go on from watermark.offset + 1"


def is_fresh(cache: Cache) -> bool:
    """Whether there is a value whose freshness the watermark carries forward: one of the watermark's own epoch."""
    entry, watermark = cache.entry, cache.watermark
    return isinstance(entry, Value) and watermark is not None and entry.epoch == watermark.epoch


def fresh_at(cache: Cache) -> Time | None:
    """READ: the last time at which the value is proven to have been current; None without one. Within BOUND: a hit."""
    if not isinstance(cache.entry, Value):
        return None
    if cache.watermark is not None and cache.entry.epoch == cache.watermark.epoch:
        return max(cache.entry.as_of, cache.watermark.as_of)
    return cache.entry.as_of


def lease(cache: Cache, token: Token) -> tuple[Cache, bool]:
    """LEASE: the right to fill, with the epoch of now, granted if nobody holds it. `token` was never used before."""
    if cache.lease is not None:
        return cache, False
    return cache._replace(lease=Lease(token, cache.watermark.epoch if cache.watermark else None)), True


def fill(cache: Cache, token: Token, version: Version, as_of: Time) -> tuple[Cache, Filled]:
    """FILL: what the holder of the lease was answered; `as_of` is when it began to ask.

    The lease is used up, also by a refusal on account of the version. The epoch is the lease's: the watermark's of this
    moment may belong to a history in which an eviction that came after the question has not happened. An equal version
    is let in, being newer in `as_of`.
    """
    if cache.lease is None or cache.lease.token != token:
        return cache, Filled.NOT_HOLDER
    if cache.entry is not None and cache.entry.version > version:
        return cache._replace(lease=None), Filled.OLDER
    return Cache(Value(version, cache.lease.epoch, as_of), None, cache.watermark), Filled.FILLED


def evict(entry: Value | Floor | None, version: Version | None) -> Value | Floor | None:
    """What one event leaves of an entry.

    A floor at the greater of the two versions, unless a value already has the event's. An event without a version (a
    foreign producer's) says only that something changed: the value goes, its own version stays as the floor.
    """
    if version is None:
        return Floor(entry.version) if isinstance(entry, Value) else entry
    if entry is None:
        return Floor(version)
    if isinstance(entry, Value) and entry.version >= version:
        return entry
    return Floor(max(entry.version, version))


def apply(
    cache: Cache, *, prev: int, last: int, events: Iterable[Version | None] = (), as_of: Time = NEVER, new_epoch: Epoch
) -> tuple[Cache, Applied]:
    """APPLY: one batch of the partition's log, in one script.

    The batch is the records after offset `prev` up to `last`; in it are `events` on this organization (versions in the
    log's order, None for one without) and heartbeats, the greatest of which is `as_of` (NEVER if there is none).
    `new_epoch`, never used before, is taken only if the watermark is missing; then nothing but the watermark changes.
    An empty batch (`last == prev`) is the worker's look whether it is still in step.

    Every event deletes the lease, whatever it does to the entry: an answer that is under way may be older than the
    event.
    """
    watermark = cache.watermark
    if watermark is None:
        return begin_epoch(cache, prev, new_epoch), Applied.NEW
    if watermark.offset != prev:
        return cache, Applied.SEEK
    entry, held = cache.entry, cache.lease
    for version in events:
        entry, held = evict(entry, version), None
    return Cache(entry, held, Watermark(watermark.epoch, last, max(watermark.as_of, as_of))), Applied.OK


def begin_epoch(cache: Cache, prev: int, new_epoch: Epoch) -> Cache:
    """Go on after `prev`, not knowing what came before: what was leased under another epoch is not fresh."""
    return cache._replace(watermark=Watermark(new_epoch, prev, NEVER))
