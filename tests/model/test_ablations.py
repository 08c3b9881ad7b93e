"""Every part of the protocol is needed: leave one out, and a search finds the shortest way to a broken promise.

Its steps are shown by `pytest -rA`. Each search is paired with one of the whole protocol in the same surroundings,
which finds nothing: it is the missing part that makes the difference.
"""

import sys
from dataclasses import dataclass, replace

import pytest

from tests.model import ablations
from tests.model.configuration import AsOf, Budget, Configuration, Heartbeat, Rules
from tests.model.model import BOUND_BROKEN, STALE_FOR_EVER, Explore, report
from tests.model.search import STUCK

PLAIN = Configuration()
CRASH = Configuration(budget=Budget(crash=1))
LOST_WATERMARK = Configuration(budget=Budget(lost_watermark=1, crash=1))
FAILOVER = Configuration(budget=Budget(failover=1))
LAGGING = Configuration(lagging_source=True, as_of=AsOf.SOURCE, floor_outlasts_lag=True)
SLOW_WRITES = Configuration(slow_writes=True)
PARKED = Configuration(budget=Budget(parked=1))
NO_WATERMARK = Configuration(rules=ablations.LEASE_AND_FLOOR, budget=Budget(crash=1))


@dataclass(frozen=True, slots=True)
class Ablation:
    """`whole` holds; `without` breaks `promise`, in no fewer than `steps`."""

    name: str
    whole: Configuration
    without: Configuration
    promise: str
    steps: int


ABLATIONS = [
    # Parts of the cache's own transitions.
    Ablation(
        "no lease clear",
        PLAIN,
        replace(PLAIN, rules=Rules(apply=ablations.apply_keeping_the_lease)),
        STALE_FOR_EVER,
        7,
    ),
    # With answers from the primary the lease is enough, and any floor may be lost (`test_holds` lets every one go).
    # Where the source lags it is the floor that holds.
    Ablation(
        "no floor", LAGGING, replace(LAGGING, rules=Rules(apply=ablations.apply_without_floor)), STALE_FOR_EVER, 6
    ),
    Ablation(
        "floor that expires before the lag is over",
        LAGGING,
        replace(LAGGING, floor_outlasts_lag=False),
        STALE_FOR_EVER,
        7,
    ),
    Ablation(
        "fill that compares no versions",
        LAGGING,
        replace(LAGGING, rules=Rules(fill=ablations.fill_whatever_the_version)),
        STALE_FOR_EVER,
        6,
    ),
    Ablation(
        "epoch at the fill",
        LOST_WATERMARK,
        replace(LOST_WATERMARK, rules=Rules(fill=ablations.fill_with_the_epoch_of_now)),
        STALE_FOR_EVER,
        8,
    ),
    Ablation(
        "same epoch after a lost watermark",
        LOST_WATERMARK,
        replace(LOST_WATERMARK, rules=Rules(apply=ablations.apply_in_the_same_epoch)),
        STALE_FOR_EVER,
        8,
    ),
    Ablation(
        "offset not compared",
        FAILOVER,
        replace(FAILOVER, rules=Rules(apply=ablations.apply_at_any_offset)),
        STALE_FOR_EVER,
        9,
    ),
    Ablation(
        "offset kept by the broker and not in redis",
        FAILOVER,
        replace(FAILOVER, rules=ablations.LEASE_AND_FLOOR),
        STALE_FOR_EVER,
        8,
    ),
    Ablation("watermark moved before the eviction", CRASH, replace(CRASH, atomic_apply=False), STALE_FOR_EVER, 7),
    # What the worker must do.
    Ablation("commit before apply", NO_WATERMARK, replace(NO_WATERMARK, commit_first=True), STALE_FOR_EVER, 7),
    Ablation("no seek when told to", FAILOVER, replace(FAILOVER, seeks=False), STUCK, 4),
    # What the reader must do.
    Ablation("as_of at the fill", PLAIN, replace(PLAIN, as_of=AsOf.FILL), BOUND_BROKEN, 4),
    # What the organization service must do.
    Ablation("reads from a lagging replica", PLAIN, replace(PLAIN, lagging_source=True), BOUND_BROKEN, 4),
    Ablation(
        "heartbeat that ignores unpublished rows", PLAIN, replace(PLAIN, heartbeat=Heartbeat.NOW), BOUND_BROKEN, 7
    ),
    Ablation("relay with an id cursor", SLOW_WRITES, replace(SLOW_WRITES, relay_cursor=True), STALE_FOR_EVER, 6),
    Ablation(
        "absent with the version of the clock",
        SLOW_WRITES,
        replace(SLOW_WRITES, absent_by_clock=True),
        STALE_FOR_EVER,
        7,
    ),
    Ablation("parked row that evicts nothing", PARKED, replace(PARKED, parked_evicts=False), STALE_FOR_EVER, 5),
    # What others do instead, without any fault at all.
    Ablation("plain cache-aside", PLAIN, replace(PLAIN, rules=ablations.CACHE_ASIDE), STALE_FOR_EVER, 6),
    Ablation(
        "compare-and-set without floor", PLAIN, replace(PLAIN, rules=ablations.COMPARE_AND_SET), STALE_FOR_EVER, 6
    ),
    Ablation(
        "compare-and-set with a floor that expires",
        PLAIN,
        replace(PLAIN, rules=ablations.COMPARE_AND_SET_WITH_FLOOR),
        STALE_FOR_EVER,
        7,
    ),
]


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda ablation: ablation.name.replace(" ", "_"))
def test_a_missing_part_is_found_out(ablation: Ablation, explored: Explore) -> None:
    live = ablation.promise == STUCK
    whole = explored(ablation.whole, live=live)
    assert whole.violation is None, f"not for want of the part: {report(whole)}"
    found = explored(ablation.without, live=live)
    sys.stdout.write(f"{ablation.name}: {report(found)}\n")
    assert found.violation is not None, f"{ablation.name}: nothing found, {report(found)}"
    assert found.violation.startswith(ablation.promise), report(found)
    assert len(found.trace) == ablation.steps, report(found)
