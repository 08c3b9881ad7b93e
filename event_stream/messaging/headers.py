"""Message headers as bytes. A binding's `header_format` says how they are written; whatever is read, any is taken.

spring        as Spring Cloud Stream's Kafka binder writes and reads them: each value is a JSON string in quotes, and a
              further header, `spring_json_header_types`, names the Java type of each. Spring reads a quoted value only
              where that header names it, so both go together. A trace context is plain: other libraries read it.
plain         each value as it is
cloudevents   the same, with the content type under the name that CloudEvents has for it, and attributes that make an
              event; in structured mode they are in the body alone, since some take them for a sign of the binary mode,
              and Spring's further header says that the content type is a text, or Spring would not look at it
"""

import functools
import json
from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring

from event_stream.conf import HeaderFormat
from event_stream.errors import ConversionError
from event_stream.messaging.cloudevents import PREFIX, STRUCTURED, attributes_in
from event_stream.messaging.message import ConsumerRecord

CONTENT_TYPE = "contentType"
SPRING_TYPES = "spring_json_header_types"
CLOUDEVENTS_CONTENT_TYPE = "content-type"
TRACE_CONTEXT = ("traceparent", "tracestate")
"""W3C Trace Context: where a message comes from, for OpenTelemetry and Micrometer."""
REPLAYED_FOR = "dead-letter-group"
"""The group that a replayed message is for: the others have had it."""


def encode(headers: Mapping[str, str], header_format: HeaderFormat) -> tuple[tuple[str, bytes], ...]:
    """As they go on the platform. Raises ConversionError for text that UTF-8 has no bytes for (a lone surrogate), and
    for what should be an event and isn't.
    """
    try:
        return _encode(headers, header_format)
    except UnicodeEncodeError as error:
        raise ConversionError(f"a header can't be written as UTF-8: {error}") from error


def _encode(headers: Mapping[str, str], header_format: HeaderFormat) -> tuple[tuple[str, bytes], ...]:
    if header_format == "spring":
        written = [(name, _quoted(name, value).encode()) for name, value in headers.items()]
        return (*written, _spring_types(tuple(name for name in headers if name not in TRACE_CONTEXT)))
    if header_format == "cloudevents":
        headers = _cloudevents(headers)
    plain = tuple((name, value.encode()) for name, value in headers.items())
    is_structured = headers.get(CLOUDEVENTS_CONTENT_TYPE, "").startswith(STRUCTURED)
    return (*plain, _spring_types(tuple(headers))) if is_structured else plain


def _quoted(name: str, value: str) -> str:
    if name in TRACE_CONTEXT:
        return value
    # json.dumps takes ten times as long for a short text. A row of the outbox may hold what is no text.
    return encode_basestring(value) if isinstance(value, str) else json.dumps(value)


@functools.lru_cache(maxsize=128)
def _spring_types(headers: tuple[str, ...]) -> tuple[str, bytes]:
    types = json.dumps(dict.fromkeys(headers, "java.lang.String"), ensure_ascii=False, separators=(",", ":"))
    return SPRING_TYPES, types.encode()


def decode(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """By name, the last of a name counting; the content type under our name for it, whoever wrote it.

    Bytes that are no UTF-8 are shown escaped rather than refused.
    """
    texts = {name: _text(value) for name, value in headers if name != SPRING_TYPES}
    if CLOUDEVENTS_CONTENT_TYPE in texts:
        texts.setdefault(CONTENT_TYPE, texts.pop(CLOUDEVENTS_CONTENT_TYPE))
    return texts


def is_for_another(record: ConsumerRecord, group: str | None) -> bool:
    """Whether the record is a replay of what another group could not handle."""
    groups = [value for name, value in record.headers if name == REPLAYED_FOR]
    return bool(groups) and groups[-1].decode(errors="backslashreplace") != group


def _cloudevents(headers: Mapping[str, str]) -> dict[str, str]:
    attributes_in(headers)
    structured = headers[CONTENT_TYPE].startswith(STRUCTURED)
    return {
        CLOUDEVENTS_CONTENT_TYPE if name == CONTENT_TYPE else name: value
        for name, value in headers.items()
        if not (structured and name.startswith(PREFIX))
    }


def _text(value: bytes) -> str:
    plain = value.decode(errors="backslashreplace")
    if not (plain.startswith('"') and plain.endswith('"')):
        return plain
    inner = plain[1:-1]
    if len(plain) > 1 and inner.isprintable() and "\\" not in inner and '"' not in inner:
        # What json.loads would return, for nearly every header that there is.
        return inner
    try:
        quoted = json.loads(plain)
    except ValueError:
        return plain
    return quoted if isinstance(quoted, str) else plain
