"""What clients saw of some organizations over time, and whether it could have been.

All times are seconds of one clock, taken by the client before it asks and after it was answered. A version is committed
somewhere between the two times of its write. It is surely superseded once the write of the next one was answered.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

STALE = "stale"


@dataclass(frozen=True, slots=True)
class Write:
    """A committed version of an organization."""

    organization_id: str
    version: int
    began_s: float
    answered_s: float


@dataclass(frozen=True, slots=True)
class Read:
    """A lookup. `fresh_at_s` is when the answer claims to have been current."""

    organization_id: str
    version: int
    began_s: float
    answered_s: float
    fresh_at_s: float
    cache: str


@dataclass(frozen=True, slots=True)
class Violation:
    """A read that could not have been, by how many seconds, and why."""

    read: Read
    by_s: float
    why: str


class History:
    """The writes of a run, to hold reads against."""

    def __init__(self, writes: Iterable[Write]) -> None:
        by_organization: dict[str, list[Write]] = {}
        for write in writes:
            by_organization.setdefault(write.organization_id, []).append(write)
        self._writes = {key: sorted(of_one, key=lambda each: each.version) for key, of_one in by_organization.items()}

    def newest(self, organization_id: str) -> int:
        return self._writes[organization_id][-1].version

    def staleness_s(self, read: Read) -> float:
        """How long before the read began its version was surely superseded; 0 if it may have been current."""
        return max(0.0, read.began_s - self._superseded_s(read))

    def violations(self, reads: Iterable[Read], *, max_staleness_s: float, clock_error_s: float) -> Iterator[Violation]:
        """Reads older than the bound and not marked so, reads with a false claim, reads of what was never written."""
        for read in reads:
            written = [each for each in self._of(read) if each.version == read.version]
            if not written:
                yield Violation(read, 0.0, "no such version was written")
                continue
            if written[0].began_s > read.answered_s + clock_error_s:
                yield Violation(read, written[0].began_s - read.answered_s, "from the future")
            late_s = self.staleness_s(read) - max_staleness_s - clock_error_s
            # What is marked as stale claims no more than that it was true once.
            if late_s > 0 and read.cache != STALE:
                yield Violation(read, late_s, "superseded for longer than the bound")
            if (wrong_s := read.fresh_at_s - self._superseded_s(read) - clock_error_s) > 0:
                yield Violation(read, wrong_s, "superseded before the instant at which it claims to have been current")

    def _of(self, read: Read) -> list[Write]:
        return self._writes.get(read.organization_id, [])

    def _superseded_s(self, read: Read) -> float:
        later = (each.answered_s for each in self._of(read) if each.version > read.version)
        return min(later, default=float("inf"))
