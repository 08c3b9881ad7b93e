"""CloudEvents 1.0 over any binding, as JSON, in both modes. Django app "event_stream.messaging.cloudevents".

    "bindings": {
        "structured": {..., "header_format": "cloudevents", "content_type": "application/cloudevents+json"},
        "binary":     {..., "header_format": "cloudevents", "content_type": "application/json"},
    }

The headers of a message named `ce_...` are the attributes of the event; `attributes(...)` makes them. In structured
mode they go into the body, around the payload; in binary mode they are headers. What is read is the same message
either way. Reading needs the app and no setting: a message says itself what it is.
"""

import re
from collections.abc import Mapping

from event_stream.errors import ConversionError

PREFIX = "ce_"
SPEC_VERSION = "1.0"
STRUCTURED = "application/cloudevents"
"""What a content type begins with if the body holds the whole event."""

_NAME = re.compile(r"[a-z0-9]+")
_REQUIRED = ("id", "source", "type")


def attributes(
    *,
    id: str,
    source: str,
    type: str,
    subject: str | None = None,
    time: str | None = None,
    dataschema: str | None = None,
    **extensions: str | None,
) -> dict[str, str]:
    """The headers that make a message an event; what is None is left out.

    `id` is the same when the event is sent again, and together with `source`, a URI reference, nobody else's. `time` is
    RFC 3339. Raises ConversionError for what CloudEvents does not allow.
    """
    given = {"id": id, "source": source, "type": type, "subject": subject, "time": time, "dataschema": dataschema}
    named = {name: value for name, value in (given | extensions).items() if value is not None}
    headers = {PREFIX + name: value for name, value in named.items()} | {f"{PREFIX}specversion": SPEC_VERSION}
    attributes_in(headers)
    return headers


def attributes_in(headers: Mapping[str, str]) -> dict[str, str]:
    """The attributes among these headers, by their own names. Raises ConversionError if they make no event."""
    found = {name.removeprefix(PREFIX): value for name, value in headers.items() if name.startswith(PREFIX)}
    if found.get("specversion") != SPEC_VERSION:
        raise ConversionError(f"ce_specversion should be {SPEC_VERSION}, not {found.get('specversion')!r:.80}")
    for name, value in found.items():
        if not _NAME.fullmatch(name):
            raise ConversionError(f"{name!r:.80} is no name of a CloudEvents attribute: only a to z and 0 to 9 are")
        if not value and name in (*_REQUIRED, "subject", "dataschema"):
            raise ConversionError(f"ce_{name} should not be empty")
    for name in _REQUIRED:
        if name not in found:
            raise ConversionError(f"ce_{name} is missing; a CloudEvents message has id, source and type")
    return found
