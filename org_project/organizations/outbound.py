"""How an event looks on the topic: its words and its format. The outbox keeps it as `events` made it.

Needs none of Django's settings, which are made of it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from event_stream.conf import HeaderFormat
from event_stream.messaging import cloudevents
from event_stream.messaging.message import Message

SOURCE = "/v1/organization"
"""Whose events they are, for CloudEvents: together with the event's id it is nobody else's."""

SPRING_WORDS = {"CREATED": "SAVE", "UPDATED": "UPDATE", "DELETED": "DELETE"}
"""What the book's code says where its text has other words; its consumer passes over those of the text."""

ACTIONS: Mapping[str, list[str]] = {"standard": [], "spring": ["organizations.outbound.spring_actions"]}
"""By ORG_CHANGE_ACTIONS: the interceptors that say it so."""


@dataclasses.dataclass(frozen=True, slots=True)
class Format:
    """Of the binding."""

    content_type: str = "application/json"
    header_format: HeaderFormat = "spring"
    interceptors: tuple[str, ...] = ()


_AS_EVENT = ("organizations.outbound.cloud_event",)
FORMATS: Mapping[str, Format] = {
    "json": Format(),
    "cloudevents": Format("application/cloudevents+json", "cloudevents", _AS_EVENT),
    "cloudevents-binary": Format("application/json", "cloudevents", _AS_EVENT),
}
"""By ORG_CHANGE_FORMAT."""


def spring_actions(message: Message[Any]) -> Message[Any]:
    """In the words of the book's code. GET, and so a heartbeat, is the same in both."""
    word = SPRING_WORDS.get(message.payload["action"])
    return message if word is None else dataclasses.replace(message, payload={**message.payload, "action": word})


def cloud_event(message: Message[Any]) -> Message[Any]:
    """With the attributes of a CloudEvents message."""
    payload = message.payload
    # Of a heartbeat each partition has a copy: the same event, which says the same.
    attributes = cloudevents.attributes(
        id=payload.get("eventId") or f"as-of-{payload['asOf']}",
        source=SOURCE,
        type=payload["type"],
        subject=payload.get("organizationId"),
        time=payload.get("occurredAt") or payload["asOf"],
        partitionkey=message.key,
    )
    return dataclasses.replace(message, headers={**message.headers, **attributes})
