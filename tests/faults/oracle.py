"""Whether a run could have been: nothing lost, nothing out of order, nothing stale for ever, nothing stale for long.

It is given what the database committed (as a trigger of the test's own wrote it down, not the outbox), what lies in the
log, what the outbox says of that, what clients read meanwhile, and what each instance answers once all is quiet.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.consistency.history import History, Read, Write

CLOCK_ERROR_S = 0.05
"""One machine's clock, read by many processes of which some were stopped a moment ago."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A version that the database committed, written at `at_s` (seconds since the epoch) and committed later."""

    organization_id: str
    version: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Logged:
    """An event in the log; or a row of the outbox, which says where its event is."""

    organization_id: str
    version: int
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Final:
    """What an instance answered when all was quiet, and what it should have answered."""

    organization_id: str
    instance: int
    version: int
    owners: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one run. `writes` are those that were answered; `max_staleness_s` is how old a hit may be."""

    commits: Sequence[Commit]
    log: Sequence[Logged]
    marks: Sequence[Logged]
    writes: Sequence[Write]
    reads: Sequence[Read]
    finals: Sequence[Final]
    max_staleness_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """How much was looked at, and a sentence for each thing that should not have been."""

    changes: int
    events: int
    duplicates: int
    reads: int
    lost: list[str] = field(default_factory=list)
    """A committed version that has no event."""
    disorder: list[str] = field(default_factory=list)
    """An event of what was not committed, of another place than its row says, or before one of an older version."""
    wrong_reads: list[str] = field(default_factory=list)
    """Older than the bound, or not what it claims to be."""
    stale: list[str] = field(default_factory=list)
    """Not the owner's, though all was quiet."""

    unchecked: list[str] = field(default_factory=list)
    """What nothing was seen of: a run of which this is so says nothing, right or wrong."""

    @property
    def wrong(self) -> list[str]:
        return [*self.lost, *self.disorder, *self.wrong_reads, *self.stale]


def judge(evidence: Evidence) -> Verdict:
    committed = {(each.organization_id, each.version) for each in evidence.commits}
    logged = {(each.organization_id, each.version) for each in evidence.log}
    return Verdict(
        changes=len(committed),
        events=len(evidence.log),
        duplicates=len(evidence.log) - len(logged),
        reads=len(evidence.reads),
        lost=[f"{id} {version} was committed and has no event" for id, version in sorted(committed - logged)],
        disorder=[
            *(f"{id} {version} has an event and was not committed" for id, version in sorted(logged - committed)),
            *_misplaced(evidence),
            *_out_of_order(evidence.log),
        ],
        wrong_reads=list(_wrong_reads(evidence)),
        stale=[
            f"{each.organization_id} is {each.version} at instance {each.instance}, and {each.owners} at its owner"
            for each in evidence.finals
            if each.version != each.owners
        ],
        unchecked=list(_unchecked(evidence)),
    )


def _unchecked(evidence: Evidence) -> Iterator[str]:
    """Without these, there would be nothing that could be found wrong."""
    if not evidence.commits:
        yield "no version was committed"
    if not evidence.reads:
        yield "no read was answered"
    asked = {(each.organization_id, each.instance) for each in evidence.finals}
    instances = {instance for _, instance in asked}
    for id in sorted({commit.organization_id for commit in evidence.commits}):
        missing = sorted(instance for instance in instances if (id, instance) not in asked)
        if missing or not instances:
            yield f"{id} was not asked for when all was quiet, at instances {missing or 'of any number'}"


def _misplaced(evidence: Evidence) -> Iterator[str]:
    there = set(evidence.log)
    for mark in evidence.marks:
        if mark not in there:
            yield f"{mark.organization_id} {mark.version} is not at {mark.partition}:{mark.offset}, where its row says"


def _out_of_order(log: Iterable[Logged]) -> Iterator[str]:
    """What is sent again after a crash follows all that was sent before, so first and last copies are each in order."""
    of: dict[str, list[Logged]] = {}
    for each in sorted(log, key=lambda each: (each.partition, each.offset)):
        of.setdefault(each.organization_id, []).append(each)
    for id, events in of.items():
        if len({each.partition for each in events}) > 1:
            yield f"{id} is in more than one partition"
        versions = [each.version for each in events]
        for which, copies in (("first", versions), ("last", versions[::-1])):
            found = list(dict.fromkeys(copies))
            if found != sorted(found, reverse=which == "last"):
                yield f"{id}: the {which} copies of its events are not in the order of versions: {found}"


def _wrong_reads(evidence: Evidence) -> Iterator[str]:
    known = {(each.organization_id, each.version) for each in evidence.writes}
    # Committed, though its client had no answer: no read can be blamed for not knowing it, nor for knowing it.
    silent = [
        Write(each.organization_id, each.version, each.at_s, float("inf"))
        for each in evidence.commits
        if (each.organization_id, each.version) not in known
    ]
    history = History([*evidence.writes, *silent])
    for violation in history.violations(
        evidence.reads, max_staleness_s=evidence.max_staleness_s, clock_error_s=CLOCK_ERROR_S
    ):
        read = violation.read
        said = f"{read.cache}, read at {read.began_s:.3f}, current at {read.fresh_at_s:.3f}"
        yield f"{read.organization_id} {read.version} ({said}): {violation.why}, by {violation.by_s:.3f} s"
