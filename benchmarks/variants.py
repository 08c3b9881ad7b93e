"""The same service with different settings, each a gunicorn of its own on the same servers, in turn."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import http_load, measure
from benchmarks.lookup import Contestant, Round
from devstack.cluster import web
from devstack.django_commands import Project
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
