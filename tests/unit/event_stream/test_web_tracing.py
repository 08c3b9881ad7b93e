"""Which spans of a service are sampled, and what a collector that is away costs."""

import logging
from collections.abc import Sequence

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from service_kit.tracing import ReportingExporter, ServiceSampler

NO_READS = ParentBased(TraceIdRatioBased(0.0))
ALL = ParentBased(ALWAYS_ON)
NONE = ParentBased(ALWAYS_OFF)
SAMPLED = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
UNSAMPLED = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(TraceFlags.DEFAULT))


@pytest.mark.parametrize(
    ("configured", "parent", "kind", "method", "links", "sampled"),
    [
        (ALL, None, SpanKind.SERVER, "GET", (), True),
        (NO_READS, None, SpanKind.SERVER, "GET", (), False),
        (NO_READS, None, SpanKind.SERVER, "PUT", (), True),
        (NO_READS, None, SpanKind.SERVER, "DELETE", (), True),
        (NO_READS, UNSAMPLED, SpanKind.SERVER, "PUT", (), False),
        (NO_READS, SAMPLED, SpanKind.SERVER, "GET", (), True),
        (NO_READS, SAMPLED, SpanKind.CLIENT, None, (), True),
        (NONE, None, SpanKind.SERVER, "PUT", (), False),
        (ALL, None, SpanKind.CLIENT, None, (), False),
        (NO_READS, None, SpanKind.CONSUMER, None, (UNSAMPLED, SAMPLED), True),
        (NO_READS, None, SpanKind.CONSUMER, None, (UNSAMPLED,), False),
    ],
)
def test_changes_are_sampled_and_reads_as_configured(
    configured: Sampler,
    parent: SpanContext | None,
    kind: SpanKind,
    method: str | None,
    links: tuple[SpanContext, ...],
    sampled: bool,
) -> None:
    context = Context() if parent is None else trace.set_span_in_context(NonRecordingSpan(parent), Context())
    attributes = {} if method is None else {"http.request.method": method}
    result = ServiceSampler(configured).should_sample(
        context, 99, "a span", kind, attributes, [Link(link) for link in links]
    )
    assert (result.decision is not Decision.DROP) is sampled


class Collector(SpanExporter):
    def __init__(self, *results: SpanExportResult) -> None:
        self._results = list(results)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._results.pop(0)


def test_a_collector_that_is_away_is_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="service_kit")
    away, there = SpanExportResult.FAILURE, SpanExportResult.SUCCESS
    exporter = ReportingExporter(Collector(there, away, away, there, there))
    for _ in range(5):
        exporter.export([])
    assert [record.message for record in caplog.records] == ["tracing.unreachable", "tracing.reachable"]
