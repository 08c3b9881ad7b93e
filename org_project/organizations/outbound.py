"""The format of an event on the topic. The outbox stores the payload that `events` created.

This module needs none of Django's settings, because the settings import it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from event_stream.conf import HeaderFormat
from event_stream.messaging import cloudevents
from event_stream.messaging.message import Message

SOURCE = "/v1/organization"
"""The `source` attribute of CloudEvents; with the event's id it is globally unique."""

SPRING_ACTIONS = {"CREATED": "SAVE", "UPDATED": "UPDATE", "DELETED": "DELETE"}
"""The action names in the book's code, which differ from its text; its consumer ignores the names of the text."""

ACTIONS: Mapping[str, list[str]] = {"standard": [], "spring": ["organizations.outbound.spring_actions"]}
"""The interceptors for each value of ORG_CHANGE_ACTIONS."""


@dataclasses.dataclass(frozen=True, slots=True)
class Format:
    """Settings of the binding."""

    content_type: str = "application/json"
    header_format: HeaderFormat = "spring"
    interceptors: tuple[str, ...] = ()


_AS_EVENT = ("organizations.outbound.cloud_event",)
FORMATS: Mapping[str, Format] = {
    "json": Format(),
    "cloudevents": Format("application/cloudevents+json", "cloudevents", _AS_EVENT),
    "cloudevents-binary": Format("application/json", "cloudevents", _AS_EVENT),
}
"""The format for each value of ORG_CHANGE_FORMAT."""


def spring_actions(message: Message[Any]) -> Message[Any]:
    """Use the action names of the book's code. GET, and so a heartbeat, is the same in both."""
    action = SPRING_ACTIONS.get(message.payload["action"])
    return message if action is None else dataclasses.replace(message, payload={**message.payload, "action": action})


def cloud_event(message: Message[Any]) -> Message[Any]:
    """Add the attributes of a CloudEvents message."""
    payload = message.payload
    # The copies of a heartbeat in each partition are the same event, with the same id.
    attributes = cloudevents.attributes(
        id=payload.get("eventId") or f"as-of-{payload['asOf']}",
        source=SOURCE,
        type=payload["type"],
        subject=payload.get("organizationId"),
        time=payload.get("occurredAt") or payload["asOf"],
        partitionkey=message.key,
    )
    return dataclasses.replace(message, headers={**message.headers, **attributes})
