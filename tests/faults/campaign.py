"""One fault, struck again and again while clients write and read; then quiet, and a verdict on the whole of it.

FAULT_ROUNDS says how often each fault strikes (1), FAULT_CHANGES how many changes each process that is killed or frozen
has to live through at least (none), FAULT_SEED what is drawn by chance; a failing test shows the seed.
"""

import dataclasses
import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from devstack.waiting import wait_until
from tests.consistency.history import STALE
from tests.consistency.load import Client, Load, Unanswered
from tests.e2e.world import DEADLINE_S, Customer
from tests.faults import evidence, naive, results
from tests.faults.oracle import Evidence, Final, Verdict, judge
from tests.faults.site import BOUND_S, TABLE, Site
from tests.faults.tolerant import Tolerant

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "1"))
CHANGES = int(os.environ.get("FAULT_CHANGES", "0"))
SEED = int(os.environ.get("FAULT_SEED", random.SystemRandom().randrange(2**32)))
CUSTOMERS = 6
READERS, READER_PAUSE_S = 2, 0.01
PATIENCE_S = 240.0
"""For so many writes as the next strike waits for. Far longer than they take."""
_SHOWN = 10


Strike = Callable[[Site, random.Random], None]


def none(request: Unanswered) -> bool:
    """Nobody needed what was struck."""
    return False


def says_so(request: Unanswered) -> bool:
    """It was refused with a 503 that tells a program that, and when to come again."""
    return request.says_so


def cut_off(request: Unanswered) -> bool:
    """The process that would have answered was gone, or the one behind it, and then that is said."""
    return request.status is None or request.says_so


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """`strike` does it and undoes it, once. What it decides by chance, it draws from what it is given.

    `excuse` says of a request that was not answered whether it needed what was struck, and was refused as it should be.
    """

    name: str
    strike: Strike
    excuse: Callable[[Unanswered], bool] = none

    def __str__(self) -> str:
        return self.name


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it, for the product and for the control beside it."""

    fault: Fault
    struck: int
    product: Verdict
    naive: Verdict
    unanswered: Sequence[Unanswered]
    """Of the product's requests."""

    def assert_right(self) -> None:
        for verdict in (self.product, self.naive):
            assert not verdict.unchecked, "\n".join(["nothing can be said:", *verdict.unchecked[:_SHOWN]])
        wrong = self.product.wrong
        assert not wrong, "\n".join([f"{len(wrong)} wrong:", *wrong[:_SHOWN]])
        refused = [each for each in self.unanswered if not self.fault.excuse(each)]
        assert not refused, "\n".join([f"{len(refused)} without excuse:", *map(str, refused[:_SHOWN])])
        assert self.product.changes > self.struck, "too little was changed to mean anything"


def hold(seconds: float) -> None:
    """Let a fault last."""
    threading.Event().wait(seconds)


def spread(changes: int, rounds: int) -> tuple[int, int]:
    """`between` for a run of so many changes at least; as many are written while a process is started again."""
    each = changes // rounds
    return max(10, each // 4), max(40, each * 3 // 4)


def run(
    site: Site,
    fault: Fault,
    *,
    rounds: int = ROUNDS,
    between: tuple[int, int] = (10, 40),
    readers: int = READERS,
    customers: Sequence[Customer] = (),
    changes: int = 0,
) -> Outcome:
    """`between`: after how many writes, drawn by chance, it strikes again. New customers unless some are given.

    It goes on until there were `changes`.
    """
    chance = random.Random(f"{SEED} {fault.name}")
    # Shown where the test fails.
    print(f"FAULT_SEED={SEED} FAULT_ROUNDS={rounds}: {fault.name}")  # noqa: T201
    customers = customers or site.customers(CUSTOMERS)
    client = Tolerant(site.world)
    with _load(client, customers, readers) as load, _load(site.naive, customers, readers) as naive_load:
        for _ in range(rounds):
            _go_on(load, chance.randint(*between))
            fault.strike(site, chance)
            site.assert_alive()
            site.naive.revive()
        _go_on(load, max(between[1], changes - len(load.writes)))
    site.settle()
    ids = {customer.id for customer in customers}
    product = Evidence(
        commits=evidence.commits(site.database_url, ids),
        log=evidence.log(site.bootstrap_servers, site.platform.topic, ids),
        marks=evidence.marks(site.database_url, ids),
        writes=load.writes,
        reads=load.reads,
        finals=_finals(client, customers, evidence.owners(site.database_url, TABLE, ids)),
        max_staleness_s=BOUND_S,
    )
    control = Evidence(
        commits=evidence.commits(site.naive_database_url, ids),
        log=evidence.log(site.bootstrap_servers, site.naive.topic, ids),
        marks=[],
        writes=naive_load.writes,
        reads=naive_load.reads,
        finals=_finals(site.naive, customers, evidence.owners(site.naive_database_url, naive.TABLE, ids)),
        max_staleness_s=BOUND_S,
    )
    outcome = Outcome(fault, rounds, judge(product), judge(control), load.unanswered)
    results.add(results.Row.of(fault.name, rounds, outcome.product, outcome.naive, len(outcome.unanswered)))
    return outcome


def _load(client: Client, customers: Sequence[Customer], readers: int) -> Load:
    return Load(client, customers, readers=readers, reader_pause_s=READER_PAUSE_S)


def _go_on(load: Load, writes: int) -> None:
    assert wait_until(load.after(writes=writes), within_s=PATIENCE_S), "writes are no longer answered"


def _finals(client: Client, customers: Sequence[Customer], owners: Mapping[str, int]) -> list[Final]:
    """What each instance answers about each, up to where its cache does: every answer on the way has to be right."""
    finals: list[Final] = []

    def ask(customer: Customer, instance: int) -> bool:
        answer = client.read(customer, instance)
        if isinstance(answer, Unanswered) or answer.cache == STALE:
            return False
        finals.append(Final(customer.id, instance, answer.version, owners[customer.id]))
        return answer.cache == "hit"

    for customer in customers:
        for instance in range(client.instances):
            assert wait_until(partial(ask, customer, instance), within_s=DEADLINE_S), "nothing is cached any more"
    return finals
