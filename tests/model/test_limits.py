"""What is not promised: searches that must find it, so that nobody claims more than there is."""

import sys

import pytest

from tests.model.ablations import LEASE_ALONE, LEASE_AND_FLOOR
from tests.model.configuration import AsOf, Budget, Configuration, Heartbeat
from tests.model.model import BOUND_BROKEN, STALE_FOR_EVER, Explore, report

LIMITS = {
    "a foreign change is bounded by nothing until it is announced": (
        Configuration(budget=Budget(foreign=1)),
        BOUND_BROKEN,
    ),
    "a foreign change that is never announced stays unseen": (
        Configuration(bounded=False, budget=Budget(foreign=1, unannounced=1)),
        STALE_FOR_EVER,
    ),
    "events that the broker loses after it acknowledged them": (
        Configuration(budget=Budget(truncation=1)),
        STALE_FOR_EVER,
    ),
    "a lagging source and a floor lost in a flush": (
        Configuration(lagging_source=True, as_of=AsOf.SOURCE, floor_outlasts_lag=True, budget=Budget(flush=1)),
        STALE_FOR_EVER,
    ),
    "a lost message of an origin without versions, if it were not for the TTL": (
        Configuration(rules=LEASE_ALONE, heartbeat=Heartbeat.NONE, budget=Budget(foreign=1, unannounced=1)),
        STALE_FOR_EVER,
    ),
    "a failover where the binder cannot seek": (
        Configuration(rules=LEASE_AND_FLOOR, budget=Budget(failover=1)),
        STALE_FOR_EVER,
    ),
}


@pytest.mark.parametrize("name", LIMITS, ids=lambda name: name.replace(" ", "_"))
def test_it_is_not_promised(name: str, explored: Explore) -> None:
    configuration, promise = LIMITS[name]
    found = explored(configuration)
    sys.stdout.write(f"{name}: {report(found)}\n")
    assert found.violation is not None, f"promised after all, then say so in the guarantees: {report(found)}"
    assert found.violation.startswith(promise), report(found)
