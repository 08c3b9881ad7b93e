"""How the cost of one operation grows: with the organizations, the misses at once, the partitions and the workers."""

import statistics
import time
import uuid
from collections.abc import Sequence
from contextlib import closing

import psycopg
import redis

from benchmarks import http_load, load, measure
from benchmarks.errors import BenchmarkError
from benchmarks.figures import Figure, Ratio, Series
from benchmarks.http_load import Request
from benchmarks.load import Contestant
from benchmarks.peers.contest import Contest, ours
from benchmarks.stage import Stage, port_of
from benchmarks.variants import series
from devstack import SupervisedProcess

_ORGANIZATIONS = """
    INSERT INTO organizations_organization (id, name, contact_name, contact_email, contact_phone, version)
    SELECT id, 'Customer ' || id, 'Ann Example', 'ann@example.org', '+1 555 0100', 1
    FROM unnest(%s::uuid[]) AS id
"""
_LICENSES = """
    INSERT INTO licenses_license
        (license_id, organization_id, description, product_name, license_type, comment, version)
    SELECT id, id, '', 'Ostock', 'complete', '', 1 FROM unnest(%s::uuid[]) AS id
"""
_FILLED_AT_ONCE = 50_000
_SAMPLE = 1_000


def lookups(stage: Stage) -> list[Figure]:
    """Lookups of a thousand customers while the tables and the cache hold more and more others."""
    rounds, seconds = stage.pick(1, 3, 5), stage.pick(1, 2, 3)
    sizes = stage.pick((100, 1_000), (1_000, 10_000, 100_000, 1_000_000))
    sample = [str(uuid.uuid4()) for _ in range(min(sizes[0], _SAMPLE))]
    _fill(stage, sample)
    requests = _requests(stage, sample)
    platform = stage.services()
    contestant = Contestant("ours", platform.licensing[0], port_of(platform.licensing_urls[0]), requests)
    contestant.warm_up(stage.pick(1, 3))
    rows, there = [], len(sample)
    for size in sizes:
        stage.announce(f"{size:,} organizations")
        while there < size:
            more = [str(uuid.uuid4()) for _ in range(min(size - there, _FILLED_AT_ONCE))]
            _fill(stage, more)
            _cache(stage, more)
            there += len(more)
        load.check(contestant.port, requests)
        rows.append(series(f"{size:,} organizations", [contestant.play(seconds) for _ in range(rounds)]))
    growth = Ratio(f"CPU: {rows[-1].name} / {rows[0].name}", [rows[-1].columns["CPU ms"] / rows[0].columns["CPU ms"]])
    note = f"Random lookups of {len(sample):,} customers; the others are rows of both tables and entries of the cache."
    return [Figure("Lookups while the data grows", "lookups/s", rows, [growth], [note])]


def misses(stage: Stage) -> list[Figure]:
    """Lookups of as many organizations that are not cached, so many at once."""
    rounds, amount = stage.pick((1, 50), (3, _SAMPLE))
    sample = [str(uuid.uuid4()) for _ in range(amount)]
    _fill(stage, sample)
    requests = _requests(stage, sample)
    platform = stage.services()
    port = port_of(platform.licensing_urls[0])
    load.check(port, requests)
    rows = []
    for connections in stage.pick((1, 50), (1, 10, 100, 1_000)):
        stage.announce(f"{connections:,} misses at once")
        rates, cpu_ms, p99_s = [], [], []
        for _ in range(rounds):
            _evict(stage, sample)
            web = (platform.licensing[0].pid, platform.organization.pid)
            before_s = sum(map(measure.cpu_s, web))
            outcome = http_load.run(http_load.Order(port, connections, requests, each_once=True))
            if outcome.errors:
                raise BenchmarkError(f"{outcome.errors} wrong answers, the first: {outcome.first_error}")
            rates.append(outcome.answers / outcome.took_s)
            cpu_ms.append((sum(map(measure.cpu_s, web)) - before_s) / outcome.answers * 1000)
            p99_s.append(measure.percentile(outcome.latencies_s, 99))
        columns = {"CPU ms": statistics.median(cpu_ms), "p99 ms": statistics.median(p99_s) * 1000}
        rows.append(Series(f"{connections:,} at once", rates, columns))
    growth = Ratio(f"CPU: {rows[-1].name} / {rows[0].name}", [rows[-1].columns["CPU ms"] / rows[0].columns["CPU ms"]])
    note = "CPU time is that of both web services. More at once than there are threads wait for one."
    return [Figure(f"{amount:,} misses, each of another organization", "lookups/s", rows, [growth], [note])]


def workers(stage: Stage) -> list[Figure]:
    """A backlog for one worker on more and more partitions, then for more and more workers."""
    rounds, amount = stage.pick((1, 600), (2, 20_000), (5, 50_000))
    shapes = stage.pick([(1, 1), (12, 2)], [(1, 1), (3, 1), (6, 1), (12, 1), (12, 2), (12, 4)])
    rows = []
    for partitions, processes in shapes:
        name = f"{partitions} partition{'s' * (partitions > 1)}, {processes} process{'es' * (processes > 1)}"
        stage.announce(name)
        played = [_drain(stage, partitions, processes, amount) for _ in range(rounds)]
        columns = {"CPU µs": statistics.median(cpu_us for _, cpu_us in played)}
        rows.append(Series(name, [rate for rate, _ in played], columns))
    growth = [
        Ratio(f"CPU: {row.name} / {rows[0].name}", [row.columns["CPU µs"] / rows[0].columns["CPU µs"]])
        for row in rows[1:]
    ]
    note = f"A backlog of {amount:,} changes, which all of the processes begin with at once."
    return [Figure("Workers on more partitions, and more of them", "changes/s", rows, growth, [note])]


def _drain(stage: Stage, partitions: int, processes: int, amount: int) -> tuple[float, float]:
    """Changes a second, and the CPU time of all the processes for one of them in microseconds."""
    with closing(Contest(stage, ours(stage), partitions)) as contest:
        last = contest.one_for_each_partition()
        events = [*contest.events(amount), *last]
        members: list[SupervisedProcess] = []
        try:
            members += [contest.process(number).spawn() for number in range(processes)]
            contest.wait_joined(processes)
            warm = contest.one_for_each_partition()
            contest.send(warm)
            contest.wait_evicted(warm)
            for member in members:
                member.pause()
            contest.send(events)
            before_s, began_s = _cpu_s(members), time.perf_counter()
            for member in members:
                member.resume()
            contest.wait_evicted(last)
            took_s, cpu_s = time.perf_counter() - began_s, _cpu_s(members) - before_s
        finally:
            for member in members:
                member.kill()
    return len(events) / took_s, cpu_s / len(events) * 1e6


def _cpu_s(members: Sequence[SupervisedProcess]) -> float:
    return sum(measure.cpu_s(member.pid) for member in members)


def _fill(stage: Stage, ids: Sequence[str]) -> None:
    """An organization and a license for each id, past the triggers for events."""
    platform = stage.services()
    for settings, statement in (
        (platform.organization_settings, _ORGANIZATIONS),
        (platform.licensing_settings, _LICENSES),
    ):
        with psycopg.connect(settings["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("SET session_replication_role = 'replica'")
            connection.execute(statement, [list(ids)])


def _requests(stage: Stage, ids: Sequence[str]) -> list[Request]:
    return [
        Request(
            "GET", f"/v1/organization/{id}/license/{id}", {"contactName": "Ann Example"}, headers=stage.read_headers()
        )
        for id in ids
    ]


def _cache(stage: Stage, ids: Sequence[str]) -> None:
    """Entries for these ids, with the bytes of one that is there; nobody looks them up."""
    with redis.Redis.from_url(stage.services().licensing_settings["REDIS_URL"]) as cache:
        value = cache.get(next(cache.scan_iter("{o*}:o:*", count=1000)))
        pipeline = cache.pipeline(transaction=False)
        for number, id in enumerate(ids, 1):
            pipeline.set(f"{{o{number % 6}}}:o:{id}", value, ex=3600)
            if number % 5_000 == 0:
                pipeline.execute()
        pipeline.execute()


def _evict(stage: Stage, ids: Sequence[str]) -> None:
    with redis.Redis.from_url(stage.services().licensing_settings["REDIS_URL"]) as cache:
        for partition in range(6):
            cache.delete(*(f"{{o{partition}}}:o:{id}" for id in ids))
