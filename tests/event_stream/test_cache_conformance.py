"""The scripts on a real server and the model's pure functions go the same way, whatever happens in whatever order.

Two organizations of one partition; the database, its outbox, the log and one worker (and its ghost) around them. After
every step the keys in Redis are those of the model, and no value counts as fresh that was not current at that time.
At the end everything is published and applied: then no value may be left that is not the database's.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from event_stream.consumer.handler import Batch, SeekTo
from event_stream.fenced_cache import Change, Eviction, FillOutcome, Heartbeat, Lease, LogInvalidator, State
from event_stream.fenced_cache.entry import Tombstone, Value, parse_entry
from tests.event_stream.cache_world import (
    FakeClock,
    Log,
    decode,
    event,
    heartbeat,
    id_at,
    new_cache,
)
from tests.model import protocol as model

PARTITION = 1
WHICH = st.sampled_from((0, 1))


class Commit(NamedTuple):
    at_ms: int
    version: int
    present: bool


@dataclass
class Asker:
    """A reader with a lease; `answer` is what the database had when it was asked: version, present, commits so far."""

    which: int
    lease: Lease
    asked_ms: int
    answer: tuple[int, bool, int] | None = None


@dataclass
class Row:
    """One organization in the database."""

    commits: list[Commit] = field(default_factory=list)
    inserting: int | None = None
    """The version of an insert that has not been committed yet."""

    @property
    def present(self) -> bool:
        return bool(self.commits) and self.commits[-1].present


class Outbox(NamedTuple):
    written_ms: int
    which: int
    version: int


class Conformance(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.cache = new_cache(self.clock)
        self.ids = [id_at(self.cache, PARTITION, number) for number in (0, 1)]
        self.applier = LogInvalidator(self.cache, decode)
        self.log = Log(PARTITION)
        self.rows = [Row(), Row()]
        self.outbox: list[Outbox] = []
        self.askers: list[Asker] = []
        self.models = [model.Cache(), model.Cache()]
        self.seen: dict[int, int] = {}
        """How many commits an answer with this version knew of; answers of "absent" have versions of their own."""
        self.absences: set[int] = set()
        self.epochs: set[str] = set()
        self.position = 0
        self.ghost: Batch | None = None
        self.backup: tuple[dict[str, tuple[bytes, int]], list[model.Cache]] | None = None

    @initialize()
    def worker_starts(self) -> None:
        self.restart(committed=False)

    # The database and the relay

    @rule(which=WHICH)
    def write(self, which: int) -> None:
        """Made, changed, or made again after it was deleted."""
        self._commit(which, self._version(), present=True)

    @rule()
    def write_in_bulk(self) -> None:
        for which in (0, 1):
            self._commit(which, self._version(), present=True)

    @rule(which=WHICH)
    def delete(self, which: int) -> None:
        if self.rows[which].present:
            self._commit(which, self._version(), present=False)

    @rule(which=WHICH)
    def insert_slowly(self, which: int) -> None:
        """A version is given when the row is written; others may look for it in vain until it is committed."""
        row = self.rows[which]
        if row.inserting is not None:
            version, row.inserting = row.inserting, None
            if not row.present:
                self._commit(which, version, present=True)
        elif not row.present:
            row.inserting = self._version()

    @precondition(lambda self: self.outbox)
    @rule(data=st.data(), twice=st.booleans())
    def publish(self, data: st.DataObject, twice: bool) -> None:
        """Any of them, as if relays took turns; and again, if it was not marked."""
        number = data.draw(st.integers(0, len(self.outbox) - 1))
        entry = self.outbox[number]
        self.log.add(event(self.ids[entry.which], entry.version))
        if not twice:
            del self.outbox[number]

    @rule(which=WHICH, elsewhere=st.booleans())
    def foreign_event(self, which: int, elsewhere: bool) -> None:
        """Without a version, and perhaps on another partition."""
        if not elsewhere:
            self.log.add(event(self.ids[which]))
            return
        self.cache.evict([Eviction(self.ids[which])])
        cache = self._without_absence(which)
        self.models[which] = cache._replace(entry=model.evict(cache.entry, None), lease=None)

    @rule()
    def announce(self) -> None:
        self.clock.advance(0.001)
        self.log.add(heartbeat(min([self.clock.ms, *(entry.written_ms for entry in self.outbox)])))

    # The worker

    @rule(count=st.integers(1, 4))
    def work(self, count: int) -> None:
        batch = self.log.batch(self.position, count)
        if batch.records:
            self.position = self._handle(batch)
        else:
            self._in_step(self.position, idle=True)

    @rule(count=st.integers(1, 4))
    def leave_a_ghost(self, count: int) -> None:
        """A worker that lost its partition with a batch in its hands."""
        batch = self.log.batch(self.position, count)
        if batch.records:
            self.ghost = batch

    @precondition(lambda self: self.ghost)
    @rule()
    def ghost_acts(self) -> None:
        assert self.ghost is not None
        self._handle(self.ghost)
        self.ghost = None

    @rule(committed=st.booleans())
    def restart(self, committed: bool) -> None:
        self._in_step(self.position if committed else None, idle=False)

    # Redis

    @rule(which=WHICH)
    def entry_is_forgotten(self, which: int) -> None:
        self.cache.scripts.redis.delete(self.cache.keys.entry(self.ids[which], PARTITION))
        self.models[which] = self.models[which]._replace(entry=None)

    @rule(which=WHICH)
    def lease_ends(self, which: int) -> None:
        self.cache.scripts.redis.delete(self.cache.keys.lease(self.ids[which], PARTITION))
        self.models[which] = self.models[which]._replace(lease=None)

    @rule()
    def watermark_is_forgotten(self) -> None:
        self.cache.scripts.redis.delete(self.cache.keys.watermark(PARTITION))
        self.models = [cache._replace(watermark=None) for cache in self.models]

    @rule()
    def flush(self) -> None:
        self._forget_all()
        self.models = [model.Cache(), model.Cache()]

    @rule()
    def replica_catches_up(self) -> None:
        self.backup = self._dump(), list(self.models)

    @precondition(lambda self: self.backup)
    @rule()
    def fail_over(self) -> None:
        """To what the replica had; a real one does the same in test_cache_failover.py."""
        assert self.backup is not None
        self._forget_all()
        dump, self.models = self.backup[0], list(self.backup[1])
        for key, (content, ttl_ms) in dump.items():
            self.cache.scripts.redis.set(key, content, px=ttl_ms if ttl_ms > 0 else None)
        self.backup = None

    # Readers

    @rule(which=WHICH)
    def lease(self, which: int) -> None:
        lease = self.cache.lease(self.ids[which])
        token = lease.token.split(b"|")[0].decode() if lease else "refused"
        self.models[which], granted = model.lease(self.models[which], token)
        assert granted == (lease is not None)
        if lease is not None:
            self.askers.append(Asker(which, lease, self.clock.ms))

    @precondition(lambda self: any(asker.answer is None for asker in self.askers))
    @rule(data=st.data())
    def origin_answers(self, data: st.DataObject) -> None:
        self._answer(data.draw(st.sampled_from([asker for asker in self.askers if asker.answer is None])))

    @precondition(lambda self: any(asker.answer for asker in self.askers))
    @rule(data=st.data(), once_more=st.booleans())
    def fill(self, data: st.DataObject, once_more: bool) -> None:
        self._fill(data.draw(st.sampled_from([asker for asker in self.askers if asker.answer])), once_more=once_more)

    @rule(which=WHICH)
    def look_up(self, which: int) -> None:
        """The three at once, as they mostly come."""
        count = len(self.askers)
        self.lease(which)
        for asker in self.askers[count:]:
            self._answer(asker)
            self._fill(asker, once_more=False)

    # What must hold

    @invariant()
    def redis_holds_what_the_model_holds(self) -> None:
        redis: Any = self.cache.scripts.redis
        mark, *held = redis.mget(self._names())
        for entry, lease, expected in zip(held[::2], held[1::2], self.models, strict=True):
            assert self._entry(parse_entry(entry)) == expected.entry
            assert lease == (_lease(expected.lease) if expected.lease else None)
            assert mark == (_mark(expected.watermark) if expected.watermark else None)

    @invariant()
    def what_is_vouched_for_was_current_then(self) -> None:
        for which, id in enumerate(self.ids):
            reading = self.cache.read(id)
            cache = self.models[which]
            assert (reading.state is State.MISS) == (model.fresh_at(cache) is None)
            if reading.state is State.MISS:
                continue
            assert reading.fresh_at_ms == model.fresh_at(cache)
            known = self.seen[reading.version]
            assert known >= sum(commit.at_ms < reading.fresh_at_ms for commit in self.rows[which].commits)

    def teardown(self) -> None:
        while self.outbox:
            entry = self.outbox.pop(0)
            self.log.add(event(self.ids[entry.which], entry.version))
        self.announce()
        for _ in range(len(self.log.records) + 10):
            batch = self.log.batch(self.position, 1000)
            if batch.records:
                self.position = self._handle(batch)
                continue
            before = self.position
            self._in_step(self.position, idle=True)
            if before == self.position:
                break
        else:
            raise AssertionError("the worker does not come to an end")
        self.redis_holds_what_the_model_holds()
        self.what_is_vouched_for_was_current_then()
        self.clock.advance(60)
        self.log.add(heartbeat(self.clock.ms))
        self.position = self._handle(self.log.batch(self.position))
        for which, id in enumerate(self.ids):
            reading = self.cache.read(id)
            if reading.state is State.HIT:
                assert self.seen[reading.version] == len(self.rows[which].commits)
        self._forget_all()

    # How it is done

    def _version(self) -> int:
        """The database's clock in microseconds."""
        self.clock.advance(0.001)
        return self.clock.ms * 1000

    def _commit(self, which: int, version: int, *, present: bool) -> None:
        written_ms = version // 1000
        self.clock.advance(0.001)
        self.rows[which].commits.append(Commit(self.clock.ms, version, present))
        self.outbox.append(Outbox(written_ms, which, version))

    def _answer(self, asker: Asker) -> None:
        row = self.rows[asker.which]
        version = row.commits[-1].version if row.present else self._version()
        asker.answer = version, row.present, len(row.commits)

    def _fill(self, asker: Asker, *, once_more: bool) -> None:
        assert asker.answer is not None
        version, present, commits = asker.answer
        outcome = self.cache.fill(asker.lease, version, b"x" if present else None, asker.asked_ms)
        before = self.models[asker.which]
        token = asker.lease.token.split(b"|")[0].decode()
        after, expected = model.fill(self._without_absence(asker.which), token, version, asker.asked_ms)
        self.models[asker.which] = before if expected is model.Filled.NOT_HOLDER else after
        assert outcome is _OUTCOMES[expected]
        if outcome is FillOutcome.FILLED:
            self.seen[version] = commits
            if not present:
                self.absences.add(version)
        if not once_more:
            self.askers.remove(asker)

    def _without_absence(self, which: int) -> model.Cache:
        """To an event and to a fill an absence is as good as forgotten, which the model allows at any moment."""
        cache = self.models[which]
        absent = isinstance(cache.entry, model.Value) and cache.entry.version in self.absences
        return cache._replace(entry=None) if absent else cache

    def _entry(self, entry: Value | Tombstone | None) -> model.Value | model.Floor | None:
        if isinstance(entry, Value):
            assert (entry.payload is None) == (entry.version in self.absences)
            return model.Value(entry.version, entry.epoch.decode() or None, entry.as_of_ms)
        return model.Floor(entry.version) if entry else None

    def _epoch(self) -> str:
        watermark = self.cache.watermark(PARTITION)
        return watermark.epoch.decode() if watermark else "none"

    def _begin_epoch(self, epoch: str) -> None:
        """The model asks for one that was never there."""
        assert epoch not in self.epochs
        self.epochs.add(epoch)

    def _handle(self, batch: Batch) -> int:
        """Both apply the batch; where to read on."""
        outcome = self.applier.handle(batch)
        last, epoch = batch.records[-1].offset, self._epoch()
        told = [decode(record) for record in batch.records]
        as_of = max([each.as_of_ms for each in told if isinstance(each, Heartbeat)], default=model.NEVER)
        results = []
        for which, id in enumerate(self.ids):
            events = [each.version for each in told if isinstance(each, Change) and each.id == id]
            while True:
                cache = self._without_absence(which) if events else self.models[which]
                after, result = model.apply(
                    cache, prev=batch.previous_offset, last=last, events=events, as_of=as_of, new_epoch=epoch
                )
                if result is not model.Applied.NEW:
                    break
                if which == 0:
                    self._begin_epoch(epoch)
                self.models[which] = model.begin_epoch(self.models[which], batch.previous_offset, epoch)
            if result is model.Applied.OK:
                self.models[which] = after
            results.append(result)
        mark = self.models[0].watermark
        assert mark is not None
        if isinstance(outcome, SeekTo):
            assert results == [model.Applied.SEEK] * 2
            assert outcome.offset == mark.offset + 1
            return outcome.offset
        assert results == [model.Applied.OK] * 2
        return last + 1

    def _in_step(self, position: int | None, *, idle: bool) -> None:
        """What the worker does when it begins, and when nothing comes."""
        if idle:
            assert position is not None
            wanted = self.applier.idle(PARTITION, position, self.log.bounds)
            self.position = position if wanted is None else wanted
        else:
            self.position = self.applier.start(PARTITION, self.log.bounds, position)
        mark = self.models[0].watermark
        if mark is None:
            epoch = self._epoch()
            self._begin_epoch(epoch)
            self.models = [model.begin_epoch(cache, self.position - 1, epoch) for cache in self.models]
            assert self.position == (position or 0)
        else:
            assert self.position == mark.offset + 1

    def _dump(self) -> dict[str, tuple[bytes, int]]:
        redis: Any = self.cache.scripts.redis
        return {name: (redis.get(name), redis.pttl(name)) for name in self._names() if redis.exists(name)}

    def _names(self) -> list[str]:
        """The watermark, then each one's entry and lease."""
        keys = self.cache.keys
        pairs = ((keys.entry(id, PARTITION), keys.lease(id, PARTITION)) for id in self.ids)
        return [keys.watermark(PARTITION), *(name for pair in pairs for name in pair)]

    def _forget_all(self) -> None:
        self.cache.scripts.redis.delete(*self._names())


def _lease(lease: model.Lease) -> bytes:
    return f"{lease.token}|{lease.epoch or ''}".encode()


def _mark(watermark: model.Watermark) -> bytes:
    return f"{watermark.epoch}|{watermark.offset}|{watermark.as_of}".encode()


_OUTCOMES = {
    model.Filled.FILLED: FillOutcome.FILLED,
    model.Filled.NOT_HOLDER: FillOutcome.LEASE_LOST,
    model.Filled.OLDER: FillOutcome.OLDER,
}

TestConformance = Conformance.TestCase
TestConformance.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
