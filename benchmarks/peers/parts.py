"""Ours beside other libraries that evict the same keys: a backlog, and the takeover from a consumer that has ended.

Every one of them evicts before it commits: django-kafka and edx-event-bus-kafka one message after the other, as they
only can; FastStream so, too, and in batches, where one bad message holds up all of its batch. What ours does beyond
that (a version for each key, the watermark in Redis) it does here, too.
"""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

from benchmarks import measure
from benchmarks.errors import BenchmarkError
from benchmarks.figures import Figure, Series, of_medians, paired
from benchmarks.measure import interleaved
from benchmarks.peers.contest import Consumer, Contest, consumers
from benchmarks.stage import Stage
from devstack.errors import StackError


def backlog(stage: Stage) -> list[Figure]:
    rounds, amount = stage.pick((1, 1_000), (5, 20_000), (9, 100_000))
    notes = [
        "From the first evicted key of the backlog to the last, one process each, its start left out.",
        "A library that is slow gets a twentieth to a half of the backlog, which does not change its rate.",
    ]
    cpu_us: dict[str, list[float]] = {}
    with consumers(stage, notes) as found:

        def drain(consumer: Consumer) -> float:
            rate, cpu = _drain(stage, consumer, round(amount * consumer.share))
            cpu_us.setdefault(consumer.name, []).append(cpu)
            return rate

        working = _working(stage, found, notes)
        stage.announce(f"{rounds} backlogs of {amount:,} changes each")
        played = interleaved({each.name: partial(drain, each) for each in working}, rounds)
    series = [Series(name, rates, {"CPU µs": sum(cpu_us[name][-rounds:]) / rounds}) for name, rates in played.items()]
    ratios = [paired(f"ours / {other.name}", series[0], other, "> 1") for other in series[1:]]
    return [Figure(f"Backlog of {amount:,} changes beside other libraries", "changes/s", series, ratios, notes)]


def _working(stage: Stage, found: list[Consumer], notes: list[str]) -> list[Consumer]:
    """Those that evict a single key. Ours has to; in a quick run, which shows that each runs, all of them."""
    if stage.pick(True, False):
        return found
    working = []
    for consumer in found:
        try:
            _drain(stage, consumer, 6)
        except (BenchmarkError, StackError) as error:
            if consumer.leaves_tombstone:
                raise
            notes.append(f"Without {consumer.name}: {error}")
        else:
            working.append(consumer)
    return working


def _drain(stage: Stage, consumer: Consumer, amount: int) -> tuple[float, float]:
    """Changes a second, and the CPU time of the process for one of them in microseconds."""
    with closing(Contest(stage, consumer)) as contest:
        first, last = contest.one_for_each_partition(), contest.one_for_each_partition()
        events = [*first, *contest.events(amount), *last]
        contest.send(events)
        process = contest.process(1).spawn()
        try:
            contest.wait_any_evicted(first, process)
            began_s, before_s = time.perf_counter(), measure.cpu_s(process.pid)
            contest.wait_evicted(last, process)
            took_s = time.perf_counter() - began_s
            cpu_us = (measure.cpu_s(process.pid) - before_s) / len(events) * 1e6
        finally:
            process.kill()
    return len(events) / took_s, cpu_us


def takeover(stage: Stage) -> list[Figure]:
    notes = [
        "Two processes of one group; a change in each partition every 50 ms, from the signal to one of them until it "
        "has ended, and once more then. How long the slowest of them waited for its eviction.",
        "All of them wait side by side. After SIGKILL it is the session timeout of the library's defaults that counts.",
    ]
    with consumers(stage, notes) as found:
        working = _working(stage, _one_of_each(stage, found), notes)
        stage.announce("takeovers, all side by side")
        with ThreadPoolExecutor(len(working)) as pool:
            took = list(pool.map(lambda consumer: _takeovers(stage, consumer), working))
    figures = []
    for number in (signal.SIGTERM, signal.SIGKILL):
        series = [Series(consumer.name, times[number]) for consumer, times in zip(working, took, strict=True)]
        ratios = [of_medians(f"ours / {other.name}", series[0], other, "< 1") for other in series[1:]]
        figures.append(Figure(f"Takeover after {number.name} of one of two workers", "s", series, ratios, notes))
    return figures


def _one_of_each(stage: Stage, found: list[Consumer]) -> list[Consumer]:
    """Batches or not is the same library; in a quick run, ours alone."""
    return [consumer for consumer in found if consumer.takeovers][: stage.pick(1, len(found))]


def _takeovers(stage: Stage, consumer: Consumer) -> dict[int, list[float]]:
    """How long each took, in seconds, by signal."""
    rounds = stage.pick(1, consumer.takeovers, 5)
    took: dict[int, list[float]] = {signal.SIGTERM: [], signal.SIGKILL: []}
    with closing(Contest(stage, consumer)) as contest:
        numbers = iter(range(1, 1000))
        members = [contest.process(next(numbers)).spawn() for _ in range(2)]
        try:
            for _ in range(rounds):
                for number in (signal.SIGTERM, signal.SIGKILL):
                    contest.wait_joined(2)
                    warm = contest.one_for_each_partition()
                    contest.send(warm)
                    contest.wait_evicted(warm)
                    victim = members.pop(0)
                    contest.end(victim, number)
                    took[number].append(contest.longest_delay_s(victim))
                    victim.kill()
                    members.append(contest.process(next(numbers)).spawn())
        finally:
            for member in members:
                member.kill()
    return took
