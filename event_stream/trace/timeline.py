"""Puts the parts of all services together: the steps of each change in order, and why one is still to come."""

import enum
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from event_stream.trace.parts import Change, Consumed, Fill, Group, Handled, Missing, Parked, Part, Produced, Standing

AWAY_AFTER = timedelta(seconds=20)
"""A worker says every 5 s where it stands. One that has been silent for this long is taken to be away."""
CLOCKS_DIFFER = timedelta(minutes=1)
"""A batch that was received longer than this before the message was written is one of an earlier log."""
ONE_BY_ONE = 50
"""Lookups are followed for each key of a change of up to so many. A larger one is complete once it is applied."""
SLOWEST = 5
MISSING = 20


class State(enum.StrEnum):
    DONE = "done"
    WAITING = "waiting"
    FAILED = "failed"
    """Parked: a person has to act."""
    DISCARDED = "discarded"
    """Parked, and a person has decided that it is not needed."""
    UNKNOWN = "unknown"
    """The service that could tell was not reached, or no longer has what it recorded."""


class Name(enum.StrEnum):
    """The steps, in the order in which they happen."""

    REQUESTED = "requested"
    WRITTEN = "written"
    SENT = "sent"
    RECEIVED = "received"
    APPLIED = "applied"
    EVICTED = "evicted"
    FILLED = "filled"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Step:
    """`duration_ms` is the time since the step before. `text` has the details, or why it is still to come."""

    name: Name
    state: State
    service: str = ""
    at: datetime | None = None
    duration_ms: float | None = None
    process: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One message, with its steps from the request to the first answer that had its version."""

    change: Change
    steps: tuple[Step, ...]

    @property
    def is_complete(self) -> bool:
        return all(step.state is State.DONE for step in self.steps)

    @property
    def is_applied(self) -> bool:
        """Whether every group has handled it, whoever has looked it up since."""
        return all(step.state is State.DONE for step in self.steps if step.name not in _BY_LOOKUP)

    @property
    def has_failed(self) -> bool:
        return any(step.state is State.FAILED for step in self.steps)

    @property
    def was_discarded(self) -> bool:
        return any(step.state is State.DISCARDED for step in self.steps)

    @property
    def took_ms(self) -> float | None:
        """From the row to the last group that has applied it; None before that."""
        ends = [step.at for step in self.steps if step.name is Name.APPLIED]
        if not ends or None in ends:
            return None
        return _ms(max(at for at in ends if at) - self.change.written_at)


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything that is known under a correlation id. `lines` are those that were looked at, out of `total`."""

    correlation_id: str
    total: int
    capped: bool
    sent: int
    parked: int
    applied: int
    """Of all; at least, where `applied_is_exact` is False."""
    applied_is_exact: bool
    lines: tuple[Line, ...]
    fills: tuple[Fill, ...]
    """Values that a request with this correlation id has brought into a cache."""
    missing: tuple[Missing, ...]

    @property
    def is_known(self) -> bool:
        return bool(self.total or self.fills)

    @property
    def is_complete(self) -> bool:
        return bool(self.lines) and not self.missing and all(line.is_complete for line in self.lines) and self._is_whole

    @property
    def is_applied(self) -> bool:
        return bool(self.lines) and not self.missing and all(line.is_applied for line in self.lines) and self._is_whole

    @property
    def has_failed(self) -> bool:
        return self.parked > 0 or any(line.has_failed for line in self.lines)

    @property
    def was_discarded(self) -> bool:
        """Nothing is to come any more, though not all of it was applied."""
        return all(line.is_complete or line.was_discarded for line in self.lines) and any(
            line.was_discarded for line in self.lines
        )

    @property
    def _is_whole(self) -> bool:
        """Also of those that were not looked at one by one."""
        return len(self.lines) == self.total or (self.applied_is_exact and self.applied == self.total)

    @property
    def slowest(self) -> list[Line]:
        timed = [line for line in self.lines if line.took_ms is not None]
        return sorted(timed, key=lambda line: line.took_ms or 0, reverse=True)[:SLOWEST]

    @property
    def unapplied(self) -> list[Line]:
        return [line for line in self.lines if not line.is_applied][:MISSING]


_BY_LOOKUP = frozenset({Name.FILLED, Name.ANSWERED})


def trace_of(correlation_id: str, parts: Sequence[Part], missing: Sequence[Missing], *, now: datetime) -> Trace:
    """Merge what the services know."""
    produced = [(part.service, part.produced) for part in parts if part.produced is not None and part.produced.total]
    follows_lookups = sum(of.total for _, of in produced) <= ONE_BY_ONE
    consumers = [_Consumer(part.service, part.consumed, now, follows_lookups=follows_lookups) for part in parts]
    lines = [
        Line(change, tuple(_steps(change, service, of, consumers, missing)))
        for service, of in produced
        for change in of.changes
    ]
    applied, is_exact = _applied([of for _, of in produced], consumers, lines)
    return Trace(
        correlation_id=correlation_id,
        total=sum(of.total for _, of in produced),
        capped=any(of.capped for _, of in produced),
        sent=sum(of.sent for _, of in produced),
        parked=sum(of.parked for _, of in produced),
        applied=applied,
        applied_is_exact=is_exact,
        lines=tuple(lines),
        fills=tuple(fill for part in parts for fill in part.consumed.fills if fill.correlation_id == correlation_id),
        missing=tuple(missing),
    )


class _Consumer:
    """One service's part, with its rows where they are looked for."""

    def __init__(self, service: str, part: Consumed, now: datetime, *, follows_lookups: bool) -> None:
        self.service = service
        self.follows_lookups = follows_lookups
        self.groups = part.groups
        self.now = now
        self._standings = {(it.destination, it.group, it.partition): it for it in part.standings}
        self._batches: dict[tuple[str, str, int], list[Handled]] = defaultdict(list)
        for batch in sorted(part.batches, key=lambda it: it.handled_at):
            self._batches[batch.destination, batch.group, batch.partition].append(batch)
        self._parked = {(it.destination, it.group, it.partition, it.offset): it for it in part.parked}
        self._fills: dict[str, list[Fill]] = defaultdict(list)
        for fill in sorted(part.fills, key=lambda it: it.filled_at):
            self._fills[fill.key].append(fill)

    def batch(self, change: Change, group: Group) -> Handled | None:
        """The first that had the message."""
        if change.partition is None or change.offset is None:
            return None
        after = change.written_at - CLOCKS_DIFFER
        return next(
            (
                batch
                for batch in self._batches.get((group.destination, group.name, change.partition), ())
                if batch.first <= change.offset <= batch.last and batch.received_at >= after
            ),
            None,
        )

    def parked(self, change: Change, group: Group) -> Parked | None:
        if change.partition is None or change.offset is None:
            return None
        return self._parked.get((group.destination, group.name, change.partition, change.offset))

    def standing(self, group: Group, partition: int) -> Standing | None:
        return self._standings.get((group.destination, group.name, partition))

    def has_passed(self, group: Group, partition: int, offset: int) -> bool:
        standing = self.standing(group, partition)
        return standing is not None and standing.position is not None and standing.position > offset

    def first_fill(self, key: str, version: int) -> Fill | None:
        return next((fill for fill in self._fills.get(key, ()) if fill.version >= version), None)


def _steps(
    change: Change,
    service: str,
    produced: Produced,
    consumers: Sequence[_Consumer],
    missing: Sequence[Missing],
) -> Iterator[Step]:
    by = f"by {change.user}" if change.user else "by nobody that is named"
    requested = f"{by}, correlation id {change.correlation_id}"
    yield Step(Name.REQUESTED, State.DONE, service, change.requested_at, None, change.written_by, requested)
    took_ms = None if change.requested_at is None else _ms(change.written_at - change.requested_at)
    yield Step(Name.WRITTEN, State.DONE, service, change.written_at, took_ms, change.written_by, _what(change))
    yield _sent(change, service, produced)
    for consumer in consumers:
        for group in consumer.groups:
            if group.destination == change.destination:
                yield from _consumed(change, consumer, group)
    for service_away in missing:
        yield Step(
            Name.RECEIVED,
            State.UNKNOWN,
            service_away.service,
            text=f"{service_away.service} can't be asked: {service_away.problem}",
        )


def _what(change: Change) -> str:
    what = change.key or "a message without a key"
    if change.version is not None:
        what += f" version {change.version}"
    return f"{what}; a trigger added its message" if change.by_trigger else what


def _sent(change: Change, service: str, produced: Produced) -> Step:
    where = ""
    if change.partition is not None:
        where = f"{change.destination}, partition {change.partition}, offset {change.offset}"
    if change.sent_at is not None:
        took_ms = _ms(change.sent_at - change.written_at)
        return Step(Name.SENT, State.DONE, service, change.sent_at, took_ms, change.sent_by, where)
    if change.parked_at is not None:
        instead = f"; a fallback message went in its place to {where}" if where else ""
        text = f"parked: {change.error}{instead}"
        return Step(
            Name.SENT, State.FAILED, service, change.parked_at, _ms(change.parked_at - change.written_at), text=text
        )
    if produced.relay_leads is False:
        return Step(Name.SENT, State.WAITING, service, text="no relay is running: nothing is sent")
    if produced.ahead:
        return Step(Name.SENT, State.WAITING, service, text=f"the relay is behind: {produced.ahead} before it")
    return Step(Name.SENT, State.WAITING, service, text="it is the next for the relay, if the broker takes messages")


def _consumed(change: Change, consumer: _Consumer, group: Group) -> Iterator[Step]:
    batch = consumer.batch(change, group)
    parked = consumer.parked(change, group)
    service = consumer.service
    if batch is not None:
        sent_at = change.sent_at or change.parked_at or change.written_at
        text = f"by {group.name}, in a batch of offsets {batch.first} to {batch.last}"
        if parked is not None and parked.replay_offset is not None:
            text += f"; a dead letter: {parked.error}; replayed as offset {parked.replay_offset}"
        received_ms = _ms(batch.received_at - sent_at)
        yield Step(Name.RECEIVED, State.DONE, service, batch.received_at, received_ms, batch.process, text)
        handled_ms = _ms(batch.handled_at - batch.received_at)
    if parked is not None:
        behind = "an earlier message of its key is a dead letter, and it waits behind" if parked.blocked else ""
        text = behind or f"a dead letter: {parked.error}"
        if parked.replay_offset is not None:
            replay = replace(
                change, sent_at=parked.settled_at, partition=parked.replay_partition, offset=parked.replay_offset
            )
            yield from _consumed(replay, consumer, group)
            return
        if parked.settled_at is not None:
            text = f"{text}; a person has discarded it"
            yield Step(Name.APPLIED, State.DISCARDED, service, parked.settled_at, None, parked.process, text)
            return
        yield Step(Name.APPLIED, State.FAILED, service, parked.parked_at, None, parked.process, text)
        return
    if batch is None:
        state, text = _why_not(change, consumer, group)
        at_hand = (Name.RECEIVED, Name.APPLIED)
        names = (*at_hand, Name.EVICTED) if group.fills else at_hand
        yield from (Step(name, state, service, text=text) for name in names)
        is_evicted = state is State.DONE
    else:
        yield Step(Name.APPLIED, State.DONE, service, batch.handled_at, handled_ms, batch.process)
        is_evicted = True
        if batch.evictions is not None:
            keys = f"{batch.evictions} key{'' if batch.evictions == 1 else 's'} by the batch's script"
            yield Step(Name.EVICTED, State.DONE, service, batch.handled_at, 0.0, batch.process, keys)
    if group.fills and consumer.follows_lookups and change.version is not None:
        yield from _looked_up(change, consumer, batch, is_evicted=is_evicted)


def _why_not(change: Change, consumer: _Consumer, group: Group) -> tuple[State, str]:
    if change.offset is None or change.partition is None:
        return State.WAITING, "it has not been sent"
    if consumer.has_passed(group, change.partition, change.offset):
        return State.DONE, f"{group.name} has passed it; when, was not recorded or is no longer known"
    standing = consumer.standing(group, change.partition)
    if standing is None:
        return State.WAITING, f"no worker of {group.name} has been seen on partition {change.partition}"
    return State.WAITING, _waits_for(standing, consumer.now)


def _waits_for(standing: Standing, now: datetime) -> str:
    if standing.stopped:
        return f"the worker was stopped: {standing.process} at {_clock(standing.seen_at)}"
    if now - standing.seen_at > AWAY_AFTER:
        return f"the worker is away: {standing.process} was seen last at {_clock(standing.seen_at)}"
    if standing.paused_at is not None:
        return f"partition {standing.partition} is paused since {_clock(standing.paused_at)}: {standing.reason}"
    at = "the beginning" if standing.position is None else f"offset {standing.position}"
    return f"the worker is behind: it stands at {at} of partition {standing.partition}"


def _looked_up(change: Change, consumer: _Consumer, batch: Handled | None, *, is_evicted: bool) -> Iterator[Step]:
    fill = consumer.first_fill(change.key, change.version or 0)
    service = consumer.service
    if fill is None:
        text = "nobody has looked it up since" if is_evicted else ""
        yield Step(Name.FILLED, State.WAITING, service, text=text)
        yield Step(Name.ANSWERED, State.WAITING, service, text=text)
        return
    later = "" if fill.version == change.version else f"with the later version {fill.version}, "
    since = None if batch is None else _ms(fill.filled_at - batch.handled_at)
    text = f"{later}by the request {fill.correlation_id}"
    yield Step(Name.FILLED, State.DONE, service, fill.filled_at, since, fill.process, text)
    took = _ms(fill.answered_at - fill.filled_at)
    yield Step(Name.ANSWERED, State.DONE, service, fill.answered_at, took, fill.process, f"version {fill.version}")


def _applied(produced: Iterable[Produced], consumers: Sequence[_Consumer], lines: Sequence[Line]) -> tuple[int, bool]:
    """How many of all messages every group has handled, and whether that is exact.

    A partition is read in order: a group that has passed the last offset of a span has handled all of it.
    """
    spans = [span for of in produced for span in of.spans]
    known = sum(line.is_applied for line in lines)
    total = sum(of.total for of in produced)
    if len(lines) == total:
        return known, True
    passed = sum(
        span.count
        for span in spans
        if all(
            consumer.has_passed(group, span.partition, span.last)
            for consumer in consumers
            for group in consumer.groups
            if group.destination == span.destination
        )
    )
    everything = passed == sum(span.count for span in spans)
    return max(passed, known), everything


def _ms(duration: timedelta) -> float:
    """Not below 0: two machines' clocks differ."""
    return max(0.0, round(duration / timedelta(milliseconds=1), 3))


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
