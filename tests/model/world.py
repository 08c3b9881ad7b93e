"""One state of everything: database, outbox, relay, log, worker, zombie, Redis and its replica, readers.

The clock is the number of commits, so "as of 2" means "every commit up to version 2 is accounted for". Offsets count
from the first record that somebody may still need.
"""

from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from tests.model.configuration import Budget, Configuration
from tests.model.protocol import Cache, Epoch, Lease, Token, Value

FRESH = 0
"""An epoch or a token that no state has: `canonical` numbers those in use from 1."""
ADOPTED = "same"
"""The epoch of an ablation that knows but one."""
ORPHAN = Lease(-2, None)
"""A lease whose reader has gone: nobody can fill with it, so its token and epoch make no difference."""


class Kind(Enum):
    EVENT = "event"
    BARE = "event without a version"
    HEARTBEAT = "heartbeat"

    # Members are compared by identity, so they can be hashed by it: a search hashes millions.
    __hash__ = object.__hash__


class Record(NamedTuple):
    """An event of version `number`, an event without a version (`number` is 0), or a heartbeat as of `number`."""

    kind: Kind
    number: int

    def __str__(self) -> str:
        return {Kind.EVENT: f"v{self.number}", Kind.BARE: Kind.BARE.value, Kind.HEARTBEAT: f"heartbeat {self.number}"}[
            self.kind
        ]


class Reader(NamedTuple):
    """Idle (token IDLE), asking (`version` is None) or answered. The epoch of its lease is in Redis, not here."""

    token: int
    version: int | None
    as_of: int


IDLE = -1
IDLE_READER = Reader(IDLE, None, 0)


class Writing(Enum):
    """A write with a version and an outbox id, not committed; OVERTAKEN once the relay has read a higher id."""

    NONE = "none"
    OPEN = "open"
    OVERTAKEN = "overtaken"

    __hash__ = object.__hash__


class World(NamedTuple):
    newest: int
    """The version in the database."""
    shown: int
    """The version that the source answers with; `newest` unless it lags."""
    writing: Writing
    unpublished: tuple[int, ...]
    """The outbox rows that are not marked as published."""
    unannounced: int
    """Foreign commits that were not announced yet."""
    heartbeat: int | None
    """The relay has read this from a snapshot and not sent it yet."""
    log: tuple[Record, ...]
    position: int
    """The offset that the worker goes on from."""
    committed: int
    """The offset that the broker keeps for the group; counts only without a watermark."""
    zombie: int | None
    """The first offset of the batch that a worker still holds although the partition is no longer its own."""
    cache: Cache
    replica: Cache | None
    """What a failover would bring; None if there can be none any more."""
    readers: tuple[Reader, ...]
    left: Budget

    def settled(self) -> bool:
        """Nothing is under way that could still change an entry, but for what starts again."""
        return (
            not self.unpublished
            and not self.unannounced
            and self.writing is Writing.NONE
            and self.heartbeat is None
            and self.position == len(self.log)
            and self.zombie is None
            and (self.cache.watermark is None or self.cache.watermark.offset == self.position - 1)
            and all(reader.token == IDLE for reader in self.readers)
        )


def initial(configuration: Configuration) -> World:
    """Version 0 in the database, an empty log, an empty cache with a watermark if the rules know one."""
    cache, _ = configuration.rules.apply(Cache(), prev=-1, last=-1, events=(), as_of=0, new_epoch=FRESH)
    world = World(
        newest=0,
        shown=0,
        writing=Writing.NONE,
        unpublished=(),
        unannounced=0,
        heartbeat=None,
        log=(),
        position=0,
        committed=0,
        zombie=None,
        cache=cache,
        replica=cache,
        readers=(IDLE_READER,) * configuration.readers,
        left=configuration.budget,
    )
    return canonical(configuration, world)


def canonical(configuration: Configuration, world: World) -> World:
    """The one state that stands for all those which differ from it in nothing that can ever matter.

    Records that nobody can need any more are dropped, and what Redis and the readers have is renamed (`_renamed`).
    """
    rules, replica = configuration.rules, world.replica if world.left.failover else None
    first = world.position if rules.watermark else min(world.position, world.committed)
    if world.zombie is not None:
        first = min(first, world.zombie)
    if world.cache.watermark is not None:
        first = min(first, world.cache.watermark.offset + 1)
    if replica is not None and replica.watermark is not None:
        first = min(first, replica.watermark.offset + 1)
    first = 0 if configuration.whole_log else min(first, len(world.log))
    cache, replica, readers = _renamed(world.cache, replica, world.readers, first, rules.leases)
    if not first:
        return world._replace(cache=cache, replica=replica, readers=readers)
    return world._replace(
        log=world.log[first:],
        position=world.position - first,
        committed=0 if rules.watermark else world.committed - first,
        zombie=None if world.zombie is None else world.zombie - first,
        cache=cache,
        replica=replica,
        readers=readers,
    )


@lru_cache(maxsize=500_000)
def _renamed(
    cache: Cache, replica: Cache | None, readers: tuple[Reader, ...], first: int, leases: bool
) -> tuple[Cache, Cache | None, tuple[Reader, ...]]:
    """Epochs and tokens numbered as they appear, offsets counted from `first`, readers sorted: names mean nothing.

    An epoch that is neither the watermark's nor the replica's proves nothing any more: it becomes None. A reader whose
    lease is in neither can only be refused: it becomes idle. A lease without a reader can only lapse: it becomes
    ORPHAN. (So at most two readers are ever at work, one for Redis' lease and one for its replica's: a search with two
    speaks for any number.)
    """
    epochs: dict[Epoch | None, Epoch] = {ADOPTED: ADOPTED}
    tokens: dict[Token, int] = {}
    asking = {reader.token for reader in readers}
    for number, copy in enumerate((cache, replica), 1):
        if copy is not None and copy.watermark is not None:
            epochs.setdefault(copy.watermark.epoch, number)
        if copy is not None and copy.lease is not None and copy.lease.token in asking:
            tokens.setdefault(copy.lease.token, number)

    def rename(copy: Cache) -> Cache:
        entry, lease, watermark = copy
        if isinstance(entry, Value):
            entry = entry._replace(epoch=epochs.get(entry.epoch))
        if lease is not None:
            lease = Lease(tokens[lease.token], epochs.get(lease.epoch)) if lease.token in tokens else ORPHAN
        if watermark is not None:
            watermark = watermark._replace(epoch=epochs[watermark.epoch], offset=watermark.offset - first)
        return Cache(entry, lease, watermark)

    if leases:
        readers = tuple(
            reader._replace(token=tokens[reader.token]) if reader.token in tokens else IDLE_READER for reader in readers
        )
    return rename(cache), None if replica is None else rename(replica), tuple(sorted(readers, key=_order))


def _order(reader: Reader) -> tuple[int, int, int]:
    return reader.token, -1 if reader.version is None else reader.version, reader.as_of
