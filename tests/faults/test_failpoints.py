"""Processes that end, or freeze, just where it hurts most: by name."""

import random
from collections.abc import Callable, Sequence
from contextlib import closing

import psutil
from kafka import KafkaProducer

from devstack.process import SupervisedProcess
from devstack.waiting import wait_until
from event_stream.failpoints import VARIABLE, FailPoint
from tests.e2e.world import DEADLINE_S, Watch, fresh
from tests.event_stream.leaks import lets_sockets_leak
from tests.faults import evidence
from tests.faults.campaign import ROUNDS, Fault, run
from tests.faults.site import SETTLE_S, Site

pytestmark = lets_sockets_leak
GROUP, PARTITIONS = "licensingGroup", 6


def arm(processes: Sequence[SupervisedProcess], crash_at: str | None) -> None:
    """Start them again, to crash there, which may be before they are ready; or not at all."""
    for process in processes:
        if process.is_running:
            process.stop()
        env = {name: value for name, value in (process.env or {}).items() if name != VARIABLE}
        process.env = env if crash_at is None else {**env, VARIABLE: crash_at}
        process.spawn() if crash_at else process.start()


def crashes(point: FailPoint, processes: Callable[[Site], list[SupervisedProcess]], most: int) -> Fault:
    """One of the processes comes there, for a time drawn by chance of up to `most`, and is killed."""

    def strike(site: Site, chance: random.Random) -> None:
        victims = processes(site)
        arm(victims, f"{point}:{chance.randint(1, most)}")
        died = wait_until(lambda: not all(each.is_running for each in victims), within_s=SETTLE_S)
        assert died, f"nobody came to {point}"
        arm(victims, None)

    return Fault(f"killed at {point}", strike)


def relays(site: Site) -> list[SupervisedProcess]:
    return site.relays


def workers(site: Site) -> list[SupervisedProcess]:
    return site.platform.workers


def test_a_relay_that_is_killed_between_sending_and_marking(site: Site) -> None:
    outcome = run(site, crashes(FailPoint.OUTBOX_SENT_NOT_MARKED, relays, 5), rounds=max(1, ROUNDS // 2))
    outcome.assert_right()
    assert outcome.product.duplicates >= outcome.struck, "it was not struck where it should have been"


def test_a_worker_that_is_killed_between_applying_and_committing(site: Site) -> None:
    run(site, crashes(FailPoint.WORKER_HANDLED_NOT_COMMITTED, workers, 20), rounds=max(1, ROUNDS // 2)).assert_right()


def test_a_worker_whose_partitions_go_to_another_with_a_batch_in_its_hand(site: Site) -> None:
    def strike(site: Site, chance: random.Random) -> None:
        zombie, heir = chance.sample(site.platform.workers, 2)
        watch = Watch([heir])
        arm([zombie], f"{FailPoint.WORKER_BATCH_IN_HAND}:{chance.randint(2, 20)}:SIGSTOP")

        def has_inherited() -> bool:
            # It had all while the other was started again, then shared them with it, and has all once more.
            had = [len(each["partitions"]) for each in watch.seen("worker.ready")]
            return had[-1:] == [PARTITIONS] and any(count < PARTITIONS for count in had) and is_frozen(zombie)

        assert wait_until(has_inherited, within_s=SETTLE_S), "the other was not given its partitions"
        # It goes on with what it holds, which is another's by now.
        zombie.resume()

    try:
        run(site, Fault("rebalanced with a batch in hand", strike), rounds=max(1, ROUNDS // 3)).assert_right()
    finally:
        arm(site.platform.workers, None)


def is_frozen(process: SupervisedProcess) -> bool:
    return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED


def test_a_worker_that_is_killed_between_parking_and_committing(site: Site) -> None:
    crash = crashes(FailPoint.DEAD_LETTER_PARKED_NOT_COMMITTED, workers, 1)
    poisoned = []

    def strike(site: Site, chance: random.Random) -> None:
        poison = b"{" + chance.randbytes(20)
        with closing(KafkaProducer(bootstrap_servers=site.bootstrap_servers.split(","))) as producer:
            # It waits in the topic for whoever is started.
            for process in site.platform.workers:
                process.stop()
            producer.send(site.platform.topic, poison, key=fresh("key").encode()).get(DEADLINE_S)
        poisoned.append(poison)
        crash.strike(site, chance)

    outcome = run(site, Fault(crash.name, strike), rounds=max(1, ROUNDS // 2))
    outcome.assert_right()
    letters = evidence.letters(site.bootstrap_servers, site.platform.topic, GROUP)
    for poison in poisoned:
        copies = [each.origin for each in letters if each.value == poison]
        # Each worker that was killed there had parked it.
        assert len(copies) >= 2, "it was not struck where it should have been"
        assert len(set(copies)) == 1
