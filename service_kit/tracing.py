"""OpenTelemetry for a whole service: provider, exporter, and spans of Django, PostgreSQL, Redis and HTTP calls.

Read from the environment, by OpenTelemetry's own names: OTEL_EXPORTER_OTLP_ENDPOINT (turns it on), OTEL_SERVICE_NAME,
OTEL_TRACES_SAMPLER with OTEL_TRACES_SAMPLER_ARG, OTEL_EXPORTER_OTLP_HEADERS, OTEL_RESOURCE_ATTRIBUTES,
OTEL_SDK_DISABLED and the others of its SDK. OTEL_TRACES_EXPORTER may be otlp, console or none.

Log events, on logger "service_kit": tracing.unreachable, tracing.reachable.
"""

import atexit
import logging
import os
import threading
from collections.abc import Sequence

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponseBase
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, Span, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from event_stream import user_context
from event_stream.outage_log import OutageLog
from service_kit.logging import REDACTED

logger = logging.getLogger("service_kit")

_FLUSH_S = 1.0
"""A process has two seconds to end; a collector that is away takes longer to say so."""
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def start() -> None:
    """Make the tracer provider of this process, and instrument its libraries. Raises ImproperlyConfigured."""
    # The stable names of HTTP's and databases' attributes; the older ones are still the default.
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")
    os.environ.setdefault("OTEL_PYTHON_DJANGO_EXCLUDED_URLS", "health/,metrics,static/")
    os.environ.setdefault("OTEL_SERVICE_NAME", getattr(settings, "SERVICE_NAME", "django"))
    # A batch of the worker links to as many creation contexts as it has messages.
    limits = None if "OTEL_SPAN_LINK_COUNT_LIMIT" in os.environ else SpanLimits(max_links=1_000)
    provider = TracerProvider(sampler=ServiceSampler(_configured_sampler()), span_limits=limits, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_exporter()))
    trace.set_tracer_provider(provider)
    atexit.register(_flush, provider)
    DjangoInstrumentor().instrument(request_hook=_hide_query, response_hook=_add_correlation_id)
    PsycopgInstrumentor().instrument()
    RedisInstrumentor().instrument()
    HTTPXClientInstrumentor().instrument()


class ServiceSampler(Sampler):
    """Decides about the spans without a parent, and asks the configured sampler about all others.

    What links to a sampled span is sampled. With a ratio, requests that may change something are sampled all the same,
    so that every change can be followed; the ratio is for reads. A call to a server outside of any request or batch
    (the relay's polls, say) is not sampled.
    """

    def __init__(self, configured: Sampler) -> None:
        self._configured = configured
        self._keeps_changes = "Ratio" in configured.get_description()

    def should_sample(  # noqa: PLR0917 - as the SDK calls it
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        if not trace.get_current_span(parent_context).get_span_context().is_valid:
            if any(link.context.trace_flags.sampled for link in links or ()):
                return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
            if kind is not SpanKind.SERVER:
                return SamplingResult(Decision.DROP)
            method = (attributes or {}).get("http.request.method", "GET")
            if self._keeps_changes and method not in _SAFE_METHODS:
                return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
        return self._configured.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"ServiceSampler{{{self._configured.get_description()}}}"


class ReportingExporter(SpanExporter):
    """Logs once that the collector is away, and once that it is back."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._outage = OutageLog(logger, began="tracing.unreachable", ended="tracing.reachable")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._outage.succeeded()
        else:
            self._outage.failed("the collector at OTEL_EXPORTER_OTLP_ENDPOINT takes no spans; they are dropped")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _configured_sampler() -> Sampler:
    """Return the one that OTEL_TRACES_SAMPLER names, as a provider would choose it."""
    return TracerProvider(shutdown_on_exit=False).sampler


def _exporter() -> SpanExporter:
    name = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() or "otlp"
    if name == "console":
        return ConsoleSpanExporter()
    if name != "otlp":
        raise ImproperlyConfigured(f"OTEL_TRACES_EXPORTER should be otlp, console or none, not {name!r}.")
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in {None, "", "http/protobuf"}:
        raise ImproperlyConfigured(f"OTEL_EXPORTER_OTLP_PROTOCOL should be http/protobuf, not {protocol!r}.")
    return ReportingExporter(OTLPSpanExporter())


def _flush(provider: TracerProvider) -> None:
    # The SDK's own time limit is not kept while a collector is away.
    thread = threading.Thread(target=provider.shutdown, name="tracing-shutdown", daemon=True)
    thread.start()
    thread.join(_FLUSH_S)


def _hide_query(span: Span, request: HttpRequest) -> None:
    # Somebody may have searched for a name.
    if request.META.get("QUERY_STRING"):
        span.set_attribute("url.query", REDACTED)


def _add_correlation_id(span: Span, _request: HttpRequest, response: HttpResponseBase) -> None:
    correlation_id = response.headers.get(user_context.CORRELATION_ID)
    if correlation_id is not None:
        # By the name that it has in the log.
        span.set_attribute("correlation_id", correlation_id)
