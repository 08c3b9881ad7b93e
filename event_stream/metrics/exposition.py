"""The answer to a scrape: what was counted, and what is computed now."""

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from event_stream.metrics.names import INSTRUMENTS, READINGS, SOURCE_UP, Reading
from event_stream.outage_log import OutageLog

logger = logging.getLogger("event_stream.metrics")

MULTIPROCESS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's own variable: where the processes of one server keep what they count."""


@dataclass(frozen=True, slots=True)
class Sample:
    """`labels` are the values of the reading's labels, in their order."""

    reading: Reading
    value: float
    labels: tuple[str, ...] = ()


class Source(Protocol):
    """Durable state of one kind."""

    name: str

    def read(self) -> Iterable[Sample]:
        """Quick and bounded in time, whatever it finds. Raises where its server is away."""


class _ComputedNow(Collector):
    """One family for each reading, whatever sources it comes from. What can't be read is absent, and said so."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self._outages = OutageLog(
            logger, began="metrics.source_unavailable", ended="metrics.source_available", cause_field="source"
        )

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Only the names: to register it must ask nobody."""
        return [reading.family() for reading in READINGS]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families: dict[Reading, GaugeMetricFamily] = {}
        for sample in [sample for source in self.sources for sample in self._read(source)]:
            family = families.setdefault(sample.reading, sample.reading.family())
            family.add_metric(sample.labels, sample.value)
        yield from families.values()

    def _read(self, source: Source) -> list[Sample]:
        try:
            samples = list(source.read())
        except Exception as error:  # noqa: BLE001 - one source must not take the others along
            self._outages.failed(error, source.name)
            return [Sample(SOURCE_UP, 0, (source.name,))]
        self._outages.succeeded(source.name)
        return [*samples, Sample(SOURCE_UP, 1, (source.name,))]


_computed_now = _ComputedNow()


def register(source: Source) -> None:
    """Compute these at each scrape, too. An app does it in `AppConfig.ready`; one of the same name is replaced."""
    _computed_now.sources = [other for other in _computed_now.sources if other.name != source.name] + [source]


def exposition() -> bytes:
    """Everything, in the format that prometheus_client calls CONTENT_TYPE_LATEST."""
    registry = CollectorRegistry()
    if MULTIPROCESS_DIRECTORY in os.environ:
        MultiProcessCollector(registry)
    else:
        registry.register(INSTRUMENTS)
    registry.register(_computed_now)
    return generate_latest(registry)
