"""OpenTelemetry spans of sending and receiving, with the SDK's own exporter, on the memory binder."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from pytest_django.fixtures import Settings

from event_stream import Message, source
from event_stream.binders.memory import MemoryBinder
from event_stream.consumer.handler import Batch
from event_stream.errors import UnavailableError
from event_stream.messaging.channel import registry
from event_stream.otel import traces_are_wanted
from event_stream.otel.instrumentation import Instrumentation
from event_stream.testing.waiting import wait_until
from tests.event_stream.handlers import Recorder
from tests.event_stream.running import running

CONSUMER = {"poll_timeout_ms": 20, "idle_interval_ms": 10, "retry_initial_ms": 1, "retry_max_ms": 20}


@pytest.fixture(autouse=True)
def platform(settings: Settings) -> MemoryBinder:
    settings.EVENT_STREAM = {
        "binders": {"only": {"type": "memory", "partitions": 1}},
        "bindings": {
            "out": {"destination": "things"},
            "in": {"destination": "things", "group": "readers", "consumer": CONSUMER},
        },
    }
    binder = registry().binder("only")
    assert isinstance(binder, MemoryBinder)
    return binder


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> Iterator[TracerProvider]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentation = Instrumentation(provider)
    instrumentation.connect()
    yield provider
    instrumentation.disconnect()


def send(provider: TracerProvider, *names: str) -> list[trace.SpanContext]:
    """Send one message within a span of each name; return what they were created in."""
    contexts = []
    for name in names:
        with provider.get_tracer("test").start_as_current_span(name) as span:
            source("out").send(Message({"name": name}, headers={"tmx-correlation-id": name})).result()
        contexts.append(span.get_span_context())
    return contexts


def handle_all(binder: MemoryBinder, count: int, handler: Recorder | None = None) -> Recorder:
    handler = handler or Recorder()
    with running(binder, registry().channel("in").binding, handler):
        wait_until(lambda: len(handler.handled) == count, "all are handled")
    return handler


def spans(exporter: InMemorySpanExporter, operation: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == f"{operation} things"]


def linked(span: ReadableSpan) -> list[int]:
    return [link.context.span_id for link in span.links]


def test_a_single_message_continues_the_trace_of_its_creation(
    provider: TracerProvider, exporter: InMemorySpanExporter, platform: MemoryBinder
) -> None:
    [creation] = send(provider, "a")
    handle_all(platform, 1)
    for operation, kind in (("receive", SpanKind.CLIENT), ("process", SpanKind.CONSUMER)):
        [span] = spans(exporter, operation)
        assert span.kind is kind
        assert span.parent is not None
        assert (span.parent.span_id, span.context.trace_id) == (creation.span_id, creation.trace_id)
        assert linked(span) == [creation.span_id]
        assert span.attributes is not None
        assert span.attributes["messaging.system.name"] == "memory"
        assert span.attributes["messaging.operation.type"] == operation
        assert span.attributes["messaging.consumer.group.name"] == "readers"
        assert span.attributes["messaging.batch.message_count"] == 1
    [process] = spans(exporter, "process")
    assert process.attributes is not None
    assert process.attributes["messaging.message.conversation_id"] == "a"
    assert process.attributes["messaging.destination.partition.id"] == "0"


def test_a_batch_links_to_each_creation_context_and_has_no_parent(
    provider: TracerProvider, exporter: InMemorySpanExporter, platform: MemoryBinder
) -> None:
    creations = send(provider, "a", "b")
    source("out").send(Message({"name": "without a trace"})).result()
    handle_all(platform, 3)
    [process] = spans(exporter, "process")
    assert process.parent is None
    assert linked(process) == [creation.span_id for creation in creations]
    assert process.attributes is not None
    assert process.attributes["messaging.batch.message_count"] == 3


def test_the_span_of_a_batch_is_current_while_it_is_handled(
    provider: TracerProvider, exporter: InMemorySpanExporter, platform: MemoryBinder
) -> None:
    seen: list[int] = []

    def answer(_batch: Batch) -> None:
        seen.append(trace.get_current_span().get_span_context().span_id)

    send(provider, "a")
    handle_all(platform, 1, Recorder(answer=answer))
    [process] = spans(exporter, "process")
    assert seen == [process.context.span_id]


def test_a_batch_that_fails_says_so_without_the_text_of_the_error(
    provider: TracerProvider, exporter: InMemorySpanExporter, platform: MemoryBinder
) -> None:
    failures = iter([UnavailableError("Frodo Baggins' database is away")])

    def answer(_batch: Batch) -> None:
        for failure in failures:
            raise failure

    send(provider, "a")
    handle_all(platform, 1, Recorder(answer=answer))
    failed, handled = spans(exporter, "process")
    assert (failed.status.status_code, handled.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "UnavailableError"
    assert "Frodo" not in failed.to_json()


def test_what_is_not_sampled_has_no_spans(
    exporter: InMemorySpanExporter, provider: TracerProvider, platform: MemoryBinder
) -> None:
    send(TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False), "a")
    source("out").send(Message({"name": "outside of any span"})).result()
    handle_all(platform, 2)
    assert exporter.get_finished_spans() == ()


@pytest.mark.parametrize("header_format", ["spring", "plain"])
@pytest.mark.usefixtures("provider")
def test_the_trace_context_is_written_as_other_libraries_read_it(
    provider: TracerProvider, platform: MemoryBinder, header_format: str, settings: Settings
) -> None:
    settings.EVENT_STREAM["bindings"]["out"]["header_format"] = header_format
    settings.EVENT_STREAM = {**settings.EVENT_STREAM}
    [creation] = send(provider, "a")
    [record] = registry().binder("only").sent("things")  # type: ignore[attr-defined]
    headers = dict(record.headers)
    _version, trace_id, span_id, _flags = headers["traceparent"].decode().split("-")
    assert (int(trace_id, 16), int(span_id, 16)) == (creation.trace_id, creation.span_id)
    assert b"traceparent" not in headers.get("spring_json_header_types", b"")


def test_without_the_app_no_header_is_added(platform: MemoryBinder) -> None:
    with TracerProvider(shutdown_on_exit=False).get_tracer("test").start_as_current_span("request"):
        source("out").send(Message({"name": "a"})).result()
    [record] = platform.sent("things")
    assert "traceparent" not in dict(record.headers)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, False),
    ],
)
def test_the_environment_decides(environment: dict[str, str], wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert traces_are_wanted() is wanted
