"""Message headers as bytes, the way Spring Cloud Stream's Kafka binder writes and reads them.

Each value is a JSON string in quotes, and a further header, `spring_json_header_types`, names the Java type of each.
Spring reads a quoted value only where that header names it, so both go together. On the way in, quoted and plain are
taken.
"""

import json
from collections.abc import Iterable, Mapping

from event_stream.binding import HeaderFormat
from event_stream.errors import ConversionError

CONTENT_TYPE = "contentType"
SPRING_TYPES = "spring_json_header_types"


def encode(headers: Mapping[str, str], header_format: HeaderFormat) -> tuple[tuple[str, bytes], ...]:
    """As they go on the platform. Raises ConversionError for text that UTF-8 has no bytes for (a lone surrogate)."""
    try:
        return _encode(headers, header_format)
    except UnicodeEncodeError as error:
        raise ConversionError(f"a header can't be written as UTF-8: {error}") from error


def _encode(headers: Mapping[str, str], header_format: HeaderFormat) -> tuple[tuple[str, bytes], ...]:
    if header_format == "plain":
        return tuple((name, value.encode()) for name, value in headers.items())
    quoted = [(name, json.dumps(value, ensure_ascii=False).encode()) for name, value in headers.items()]
    types = json.dumps(dict.fromkeys(headers, "java.lang.String"), ensure_ascii=False, separators=(",", ":"))
    return (*quoted, (SPRING_TYPES, types.encode()))


def decode(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """By name, the last of a name counting. Bytes that are no UTF-8 are shown escaped rather than refused."""
    return {name: _text(value) for name, value in headers if name != SPRING_TYPES}


def _text(value: bytes) -> str:
    plain = value.decode(errors="backslashreplace")
    if not (plain.startswith('"') and plain.endswith('"')):
        return plain
    try:
        quoted = json.loads(plain)
    except ValueError:
        return plain
    return quoted if isinstance(quoted, str) else plain
