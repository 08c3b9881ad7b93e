"""The same service with different settings, each a gunicorn of its own on the same servers, in turn."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from benchmarks.figures import Figure, Ratio, Series
from benchmarks.http_load import Request
from benchmarks.load import Contestant, Round
from benchmarks.measure import interleaved
from benchmarks.stage import Stage
from devstack.cluster import web
from devstack.django_commands import LICENSING, ORGANIZATION, Project
from devstack.ports import free_port
from devstack.process import start_in_parallel

Variants = Mapping[str, Mapping[str, str]]
"""Settings by the name of the variant; what is compared with comes first."""


@contextmanager
def lookups_and_updates(stage: Stage, title: str, variants: Variants) -> Iterator[tuple[list[Figure], dict[str, int]]]:
    """Measure both services in each variant; yield the figures, and the ports of the organization services, which run.

    The relay of the services that run anyway sends meanwhile, so that it costs all the same.
    """
    platform = stage.services()
    customers = stage.customers(stage.pick(10, 100))
    lookups = [customer.look_up(stage.read_headers()) for customer in customers]
    updates = [customer.change(number, stage.write_headers()) for number in range(10) for customer in customers]
    with ExitStack() as stack:
        silent = {**platform.organization_settings, "OUTBOX_EMBEDDED": "false"}
        organization = _contestants(stage, ORGANIZATION, silent, variants, updates)
        licensing = _contestants(stage, LICENSING, platform.licensing_settings, variants, lookups)
        for contestants in (organization, licensing):
            start_in_parallel([contestant.process for contestant in contestants])
            for contestant in contestants:
                stack.callback(contestant.process.stop)
        figures = [
            _figure(stage, f"{title}: lookups", "lookups/s", licensing),
            _figure(stage, f"{title}: updates", "PUT/s", organization),
        ]
        yield figures, {contestant.name: contestant.port for contestant in organization}


def _contestants(
    stage: Stage, project: Project, settings: Mapping[str, str], variants: Variants, requests: Sequence[Request]
) -> list[Contestant]:
    contestants = []
    for variant, own in variants.items():
        port, name = free_port(), f"{project.database} {variant}"
        process = web(project, name.replace(" ", "-"), {**settings, **own}, port=port, folder=stage.folder)
        contestants.append(Contestant(variant, process, port, requests))
    return contestants


def _figure(stage: Stage, title: str, unit: str, contestants: Sequence[Contestant]) -> Figure:
    rounds, seconds = stage.pick(2, 5, 9), stage.pick(1, 3, 5)
    for contestant in contestants:
        contestant.warm_up(stage.pick(1, 3))
    stage.announce(title)
    played = interleaved({each.name: partial(each.play, seconds) for each in contestants}, rounds)
    base, *others = played
    ratios = []
    for other in others:
        rates = [a.load.per_s / b.load.per_s for a, b in zip(played[other], played[base], strict=True)]
        cpu = [a.cpu_ms / b.cpu_ms for a, b in zip(played[other], played[base], strict=True)]
        ratios += [Ratio(f"{other} / {base}", rates), Ratio(f"CPU: {other} / {base}", cpu)]
    return Figure(title, unit, [series(name, of) for name, of in played.items()], ratios)


def series(name: str, rounds: Sequence[Round]) -> Series:
    """The rates of the rounds, and the medians of their latencies and of the CPU time a request."""
    columns = {
        "p50 ms": statistics.median(each.load.p50_s for each in rounds) * 1000,
        "p99 ms": statistics.median(each.load.p99_s for each in rounds) * 1000,
        "CPU ms": statistics.median(each.cpu_ms for each in rounds),
        **{
            f"{server} ms": statistics.median(each.beside_ms[server] for each in rounds)
            for server in rounds[0].beside_ms
        },
    }
    return Series(name, [each.load.per_s for each in rounds], columns)
