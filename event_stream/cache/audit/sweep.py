"""Asks the origin about every entry of the cache."""

import enum
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from event_stream.cache.answers import Eviction, Reading, State
from event_stream.cache.origin import Budget, Fetch, Fetched, FetchFailed
from event_stream.cache.protocol import FencedCache

AT_ONCE = 8
BUDGET_S = 5.0


class Verdict(enum.Enum):
    """What an entry is worth."""

    CURRENT = "current"
    UNVOUCHED = "behind, but not vouched for: the next lookup asks anew"
    CATCHING_UP = "behind, and changed within the bound"
    STALE = "behind, and still served after the bound"
    AHEAD = "newer than the origin: it was set back, from a backup perhaps"
    UNKNOWN = "the origin gave no answer"


BROKEN = frozenset({Verdict.STALE, Verdict.AHEAD})
"""What should never be, and what a repair evicts."""


@dataclass(frozen=True, slots=True)
class Finding:
    id: str
    verdict: Verdict
    cached_version: int
    origin_version: int | None


def sweep(
    cache: FencedCache, fetch: Fetch, ids: Iterable[str], *, wait: Callable[[float], object], repair: bool = False
) -> Iterator[Finding]:
    """One finding for each id that has a value or a known absence. `wait` sleeps for so many seconds.

    An entry that is behind is looked at again after the bound: a change may be on its way just now. Raises
    UnavailableError. With `repair`, what is broken is evicted.
    """
    behind: list[Finding] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for finding in pool.map(lambda id: _look(cache, fetch, id), ids):
            if finding is None:
                continue
            if finding.verdict is Verdict.CATCHING_UP:
                behind.append(finding)
            else:
                yield _repaired(cache, finding, repair=repair)
    if behind:
        wait(cache.settings.bound_s)
    for finding in behind:
        again = _look(cache, fetch, finding.id)
        if again is not None and again.verdict is Verdict.CATCHING_UP:
            same = again.cached_version == finding.cached_version
            again = replace(again, verdict=Verdict.STALE if same else Verdict.CATCHING_UP)
        yield _repaired(cache, again or finding, repair=repair)


def _look(cache: FencedCache, fetch: Fetch, id: str) -> Finding | None:
    reading = cache.read(id)
    if reading.state is State.MISS:
        return None
    try:
        fetched = fetch(id, Budget(cache.clock, BUDGET_S))
    except FetchFailed:
        return Finding(id, Verdict.UNKNOWN, reading.version, None)
    return Finding(id, _verdict(reading, fetched), reading.version, fetched.version)


def _verdict(reading: Reading, fetched: Fetched) -> Verdict:
    if reading.value == fetched.value:
        return Verdict.CURRENT
    if reading.version > fetched.version and fetched.value is not None and reading.value is not None:
        return Verdict.AHEAD
    return Verdict.CATCHING_UP if reading.state is State.HIT else Verdict.UNVOUCHED


def _repaired(cache: FencedCache, finding: Finding, *, repair: bool) -> Finding:
    if repair and finding.verdict in BROKEN:
        cache.evict([Eviction(finding.id)])
    return finding
