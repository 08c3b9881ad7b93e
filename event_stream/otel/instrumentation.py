"""Spans from the event layer's signals, and the trace context that goes with a message."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.dispatch import Signal
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from event_stream import conf, signals, user_context
from event_stream.conf import Binding
from event_stream.consumer.handler import Batch
from event_stream.consumer.worker import Worker
from event_stream.messaging import headers
from event_stream.messaging.message import ConsumerRecord, RecordMetadata
from event_stream.otel import conventions
from event_stream.outbox.store import Entry

_KINDS = {
    conventions.SEND: SpanKind.CLIENT,
    conventions.RECEIVE: SpanKind.CLIENT,
    conventions.PROCESS: SpanKind.CONSUMER,
}
_NEEDED = frozenset({*headers.TRACE_CONTEXT, user_context.CORRELATION_ID})
_propagator = TraceContextTextMapPropagator()


def current_trace_context() -> dict[str, str]:
    """Return `traceparent`, and `tracestate` where there is one; nothing outside of a span."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier


class Instrumentation:
    """Makes the spans of the event layer between `connect` and `disconnect`, by default with the global provider.

    Signals hold their receivers weakly: keep the instance.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("event_stream", tracer_provider=provider, schema_url=conventions.SCHEMA_URL)
        self._in_hand = threading.local()
        """`span` and `token` of the batch that this thread handles."""
        self._receivers: dict[Signal, Callable[..., None]] = {
            signals.entries_published: self._published,
            signals.records_received: self._received,
            signals.batch_begun: self._batch_begun,
            signals.batch_ended: self._batch_ended,
        }

    def connect(self) -> None:
        """Begin to make spans, and to send the current trace context with each message."""
        user_context.message_header_sources.add(current_trace_context)
        for signal, receiver in self._receivers.items():
            signal.connect(receiver)

    def disconnect(self) -> None:
        user_context.message_header_sources.discard(current_trace_context)
        for signal, receiver in self._receivers.items():
            signal.disconnect(receiver)

    def _published(
        self, entries: Sequence[Entry], receipts: Mapping[int, RecordMetadata], seconds: float, **_: Any
    ) -> None:
        by_binding: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.id in receipts:
                by_binding.setdefault(entry.binding, []).append(entry)
        for name, sent in by_binding.items():
            binding = conf.configuration().binding(name)
            attributes: dict[str, str] = {}
            if len(sent) == 1:
                attributes = {
                    conventions.CONVERSATION_ID: sent[0].correlation_id,
                    conventions.PARTITION: str(receipts[sent[0].id].partition),
                }
            of_messages = [entry.headers for entry in sent]
            span = self._start(conventions.SEND, binding, of_messages, attributes, seconds)
            if span is not None:
                span.end()

    def _received(
        self, worker: Worker, records: Mapping[int, Sequence[ConsumerRecord]], seconds: float, **_: Any
    ) -> None:
        binding = worker.binding
        of_messages = [_trace_headers(record) for batch in records.values() for record in batch]
        attributes = {conventions.GROUP: binding.group or ""}
        span = self._start(conventions.RECEIVE, binding, of_messages, attributes, seconds)
        if span is not None:
            span.end()

    def _batch_begun(self, worker: Worker, batch: Batch, **_: Any) -> None:
        binding = worker.binding
        of_messages = [_trace_headers(record) for record in batch.records]
        attributes = {conventions.GROUP: binding.group or "", conventions.PARTITION: str(batch.partition)}
        if len(of_messages) == 1 and user_context.CORRELATION_ID in of_messages[0]:
            attributes[conventions.CONVERSATION_ID] = of_messages[0][user_context.CORRELATION_ID]
        span = self._start(conventions.PROCESS, binding, of_messages, attributes)
        if span is not None:
            self._in_hand.span = span
            self._in_hand.token = otel_context.attach(trace.set_span_in_context(span))

    def _batch_ended(self, error: Exception | None, **_: Any) -> None:
        span: Span | None = getattr(self._in_hand, "span", None)
        if span is None:
            return
        otel_context.detach(self._in_hand.token)
        self._in_hand.span = None
        if error is not None:
            # The text of an error may quote the message.
            span.set_attribute(conventions.ERROR_TYPE, type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def _start(
        self,
        operation: str,
        binding: Binding,
        of_messages: Sequence[Mapping[str, str]],
        attributes: Mapping[str, str],
        seconds: float = 0.0,
    ) -> Span | None:
        """Start a span that began `seconds` ago; None where none of the messages is sampled."""
        creators = _sampled(of_messages)
        if not creators:
            return None
        is_single = len(of_messages) == 1
        return self._tracer.start_span(
            f"{operation} {binding.destination}",
            context=trace.set_span_in_context(NonRecordingSpan(creators[0]), Context()) if is_single else Context(),
            kind=_KINDS[operation],
            links=[Link(creator) for creator in creators],
            attributes={
                conventions.SYSTEM: _system(binding),
                conventions.OPERATION_NAME: operation,
                conventions.OPERATION_TYPE: operation,
                conventions.DESTINATION: binding.destination,
                conventions.MESSAGE_COUNT: len(of_messages),
                **attributes,
            },
            start_time=time.time_ns() - int(seconds * 1e9),
        )


def _sampled(of_messages: Iterable[Mapping[str, str]]) -> list[SpanContext]:
    """Return the creation contexts that are sampled, each once, in the order of the messages."""
    creators: dict[tuple[int, int], SpanContext] = {}
    seen: set[str] = set()
    for message_headers in of_messages:
        traceparent = message_headers.get("traceparent")
        # The messages of a bulk change have one creation context.
        if traceparent is None or traceparent in seen:
            continue
        seen.add(traceparent)
        context = trace.get_current_span(_propagator.extract(message_headers, Context())).get_span_context()
        if context.is_valid and context.trace_flags.sampled:
            creators[context.trace_id, context.span_id] = context
    return list(creators.values())


def _trace_headers(record: ConsumerRecord) -> dict[str, str]:
    return headers.decode(header for header in record.headers if header[0] in _NEEDED)


def _system(binding: Binding) -> str:
    return conf.configuration().binders[binding.binder].type
