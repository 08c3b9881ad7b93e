"""The same service with different settings, each a gunicorn of its own on the same servers, in turn."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import http_load, measure, stage
from benchmarks.lookup import Contestant, Round
from devstack.cluster import ServiceCluster, relay, web
from devstack.django_commands import LICENSING, ORGANIZATION, Project
from devstack.ports import free_port


@dataclass(frozen=True, slots=True)
class Variants:
    """`contestants` by the name of their variant; what is compared with comes first."""

    name: str
    contestants: Mapping[str, Contestant]

    def rounds(
        self, requests: Sequence[http_load.Request], rounds: int, seconds: float, warm_up_s: float
    ) -> list[dict[str, Round]]:
        """Return the rounds of each variant, by name."""
        for contestant in self.contestants.values():
            contestant.play(requests, warm_up_s)
        played = []
        for number in range(rounds):
            # They take turns to begin: a machine that gets slower costs all the same.
            order = list(self.contestants)
            order = order[number % len(order) :] + order[: number % len(order)]
            played.append({variant: self.contestants[variant].play(requests, seconds) for variant in order})
        return played

    def rows(self, played: Sequence[Mapping[str, Round]]) -> list[dict[str, Any]]:
        return [_row(f"{self.name}, {variant}", [each[variant] for each in played]) for variant in self.contestants]

    def conclusions(self, played: Sequence[Mapping[str, Round]]) -> dict[str, str]:
        """Compare every other variant with the first."""
        base, *others = self.contestants
        result = {}
        for other in others:
            rates = [each[other].outcome.per_s / each[base].outcome.per_s for each in played]
            cpu = [each[other].cpu_ms / each[base].cpu_ms for each in played]
            result[f"{self.name}/s, {other} / {base}"] = measure.spread(rates)
            result[f"{self.name}, CPU {other} / {base}"] = measure.spread(cpu)
        return result


@contextmanager
def running(
    folder: Path, project: Project, name: str, settings: Mapping[str, str], variants: Mapping[str, Mapping[str, str]]
) -> Iterator[Variants]:
    """Start one service for each of `variants`, whose settings come on top."""
    contestants = {}
    with ExitStack() as stack:
        for variant, own in variants.items():
            port = free_port()
            label = f"{name}, {variant}"
            process = web(project, label.replace(" ", "-"), {**settings, **own}, port=port, folder=folder)
            contestants[variant] = Contestant(label, stack.enter_context(process), port)
        yield Variants(name, contestants)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: `rounds` of so many seconds for each variant, after a warm-up."""

    customers: int
    rounds: int
    seconds: float
    warm_up_s: float


def lookups_and_updates(
    platform: ServiceCluster,
    folder: Path,
    stack: ExitStack,
    variants: Mapping[str, Mapping[str, str]],
    effort: Effort,
) -> tuple[list[dict[str, Any]], dict[str, str], Variants]:
    """Measure both services in each variant; return rows, conclusions, and the organization services, which run on.

    A relay of its own sends meanwhile, so that it costs all the same; `stack` ends everything.
    """
    made = stage.customers(platform, effort.customers)
    # The embedded relay of the platform's own service would be one more that leads now and then.
    platform.organization.stop()
    organization = {**platform.organization_settings, "OUTBOX_EMBEDDED": "false"}
    sender = relay("relay", organization, folder=folder).start()
    services = stack.enter_context(running(folder, ORGANIZATION, "updates", organization, variants))
    url = f"http://127.0.0.1:{next(iter(services.contestants.values())).port}"
    licensing = {**platform.licensing_settings, "ORGANIZATION_SERVICE_URL": url}
    lookups = stack.enter_context(running(folder, LICENSING, "lookups", licensing, variants))
    updates = [customer.change(number) for number in range(10) for customer in made]
    rows: list[dict[str, Any]] = []
    conclusions: dict[str, str] = {}
    try:
        for contest, requests in ((lookups, [customer.look_up() for customer in made]), (services, updates)):
            played = contest.rounds(requests, effort.rounds, effort.seconds, effort.warm_up_s)
            rows += contest.rows(played)
            conclusions |= contest.conclusions(played)
    finally:
        sender.stop()
    return rows, conclusions, services


def _row(name: str, rounds: Sequence[Round]) -> dict[str, Any]:
    latencies_s = [each for of in rounds for each in of.outcome.latencies_s]
    return {
        "": name,
        "answers/s": statistics.median(of.outcome.per_s for of in rounds),
        "p50 ms": measure.percentile(latencies_s, 50) * 1000,
        "p99 ms": measure.percentile(latencies_s, 99) * 1000,
        "CPU ms": statistics.median(of.cpu_ms for of in rounds),
        "errors": sum(of.outcome.errors for of in rounds),
    }
