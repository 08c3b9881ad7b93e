"""The protocol keeps both of its promises in every state that these configurations can reach.

Each search is complete. The number of its states is recorded: where it changes, the model has changed, and what it
proves with it. The seconds are those of one core of a small machine (CPython 3.11, about 150,000 steps/s).

Searched once and too long for every run, with nothing found: 1 version, 2 readers, one each of duplicate, crash,
failover, flush and lost watermark: 14,055,906 states, 134,427,353 transitions, 18 minutes, 3.8 GB.
"""

import sys
from dataclasses import dataclass

import pytest

from tests.model.ablations import LEASE_ALONE, LEASE_AND_FLOOR
from tests.model.configuration import AsOf, Budget, Configuration, Heartbeat
from tests.model.model import Explore, report
from tests.model.search import MOST_STATES


@dataclass(frozen=True, slots=True)
class Case:
    """`live`: it is also shown that from every state a fresh hit at the newest version can still be reached."""

    name: str
    configuration: Configuration
    states: int
    live: bool = False


CASES = [
    # The least there is: reordering, forgotten entries, lapsed leases. 0 s
    Case("no fault", Configuration(), 574, live=True),
    Case("no refetch while a vouched value is there", Configuration(refetch=False), 367, live=True),
    Case("writes that commit late", Configuration(versions=2, slow_writes=True), 4_341, live=True),
    Case("3 versions", Configuration(versions=3), 18_384, live=True),
    # The relay and the worker fail. 3, 1, 6, 1 and 5 s
    Case(
        "2 versions, duplicate, crash",
        Configuration(versions=2, budget=Budget(duplicate=1, crash=1)),
        65_521,
        live=True,
    ),
    Case(
        "2 versions, parked row, duplicate",
        Configuration(versions=2, budget=Budget(parked=1, duplicate=1)),
        26_842,
        live=True,
    ),
    Case(
        "2 versions, lost watermark, crash",
        Configuration(versions=2, budget=Budget(lost_watermark=1, crash=1)),
        124_301,
        live=True,
    ),
    Case("2 versions, flush", Configuration(versions=2, budget=Budget(flush=1)), 14_308),
    Case(
        "2 versions, new epoch anywhere, crash", Configuration(versions=2, budget=Budget(new_epoch=1, crash=1)), 85_772
    ),
    # A worker may start again among records that were applied long ago. 3 s
    Case(
        "4 records that stay in the log, lost watermark, crash",
        Configuration(log_size=4, whole_log=True, budget=Budget(lost_watermark=1, crash=1)),
        69_115,
    ),
    # Redis fails over. 1 and 5 s
    Case("failover", Configuration(budget=Budget(failover=1)), 13_612, live=True),
    Case("2 versions, failover", Configuration(versions=2, budget=Budget(failover=1)), 104_148),
    # The same with two readers, who speak for any number (`world._renamed`). 11, 5 and 7 s
    Case(
        "2 readers, failover, lost watermark",
        Configuration(readers=2, budget=Budget(failover=1, lost_watermark=1)),
        216_020,
    ),
    Case("2 readers, failover, flush", Configuration(readers=2, budget=Budget(failover=1, flush=1)), 92_077),
    Case("2 readers, failover, crash", Configuration(readers=2, budget=Budget(failover=1, crash=1)), 129_333),
    # All but the failover. 6 s
    Case(
        "duplicate, crash, flush, lost watermark",
        Configuration(budget=Budget(duplicate=1, crash=1, flush=1, lost_watermark=1)),
        109_559,
    ),
    # A producer that knows only the four keys. For its changes the bound is not promised (`test_limits`), unless there
    # are no heartbeats, and so nothing is proven. 5 and 0 s
    Case(
        "2 versions, foreign event, crash",
        Configuration(versions=2, bounded=False, budget=Budget(foreign=1, crash=1)),
        86_868,
        live=True,
    ),
    Case(
        "2 versions, foreign events only",
        Configuration(versions=2, heartbeat=Heartbeat.NONE, budget=Budget(foreign=2)),
        618,
    ),
    # Answers from a copy that lags and says so, with floors that outlast its lag. 1 s
    Case(
        "2 versions, lagging source, duplicate",
        Configuration(
            versions=2, lagging_source=True, as_of=AsOf.SOURCE, floor_outlasts_lag=True, budget=Budget(duplicate=1)
        ),
        22_166,
    ),
    # A binder that cannot seek: lease and floor, acknowledged after applying. 2 s
    Case(
        "lease and floor without watermark, duplicate, crash, flush",
        Configuration(rules=LEASE_AND_FLOOR, budget=Budget(duplicate=1, crash=1, flush=1)),
        38_398,
    ),
    # An origin without versions, whose producer announces a change after the commit. 1 s
    Case(
        "2 versions, lease alone, foreign events only, crash, flush",
        Configuration(
            versions=2,
            rules=LEASE_ALONE,
            heartbeat=Heartbeat.NONE,
            budget=Budget(foreign=2, crash=1, flush=1),
        ),
        4_712,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(", ", "-").replace(" ", "_"))
def test_no_state_breaks_a_promise(case: Case, explored: Explore) -> None:
    if case.states > MOST_STATES:
        pytest.skip(f"it has more than {MOST_STATES:,} states; with --deep up to 1,000,000 are searched")
    outcome = explored(case.configuration, live=case.live)
    sys.stdout.write(f"{case.name}: {report(outcome)}\n")
    assert outcome.violation is None, report(outcome)
    assert outcome.states == case.states
