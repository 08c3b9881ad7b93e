"""What `/metrics` answers, as numbers."""

from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class Scrape:
    """Samples as they are on the wire: `…_total`, `…_count`, `…_sum`, `…_bucket`."""

    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def values(self, name: str, **labels: str) -> list[float]:
        """Of all series of this name that have these labels, and maybe others."""
        return [
            value for (other, found), value in self.samples.items() if other == name and labels.items() <= set(found)
        ]

    def total(self, name: str, **labels: str) -> float:
        """Their sum; 0 where there is none."""
        return sum(self.values(name, **labels))

    def value(self, name: str, **labels: str) -> float:
        """The only one."""
        [value] = self.values(name, **labels)
        return value

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.samples}


def parse(text: str) -> Scrape:
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, f"{key} is there twice"
            samples[key] = sample.value
    return Scrape(samples)


def scrape(url: str, **headers: str) -> Scrape:
    """As Prometheus does it: without a token."""
    answer = httpx.get(f"{url}/metrics", headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return parse(answer.text)
