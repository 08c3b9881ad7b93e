"""application/cloudevents+json: the whole event is the body (structured mode)."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from event_stream.errors import ConversionError
from event_stream.messaging.cloudevents import PREFIX, attributes_in
from event_stream.messaging.converters import JsonConverter, converter_for
from event_stream.messaging.message import JSON, Message

CONTENT_TYPE = "contentType"
_JSON = "application/json"
_BODY = {"data", "data_base64"}


class CloudEventsConverter:
    """The payload is the event's `data`; its attributes are the headers `ce_...` of the message.

    What is read is the message that binary mode would have brought: its content type is that of the data.
    """

    content_type = "application/cloudevents+json"

    def __init__(self) -> None:
        self._json = JsonConverter()

    def encode(self, message: Message[JSON]) -> bytes:
        event = {**attributes_in(message.headers), "datacontenttype": _JSON, "data": message.payload}
        return self._json.encode(Message(event))

    def decode(self, value: bytes, headers: Mapping[str, str]) -> Message[Any]:
        event = self._json.decode(value, headers).payload
        if not isinstance(event, dict):
            raise ConversionError(f"a CloudEvents body should be an object, not {type(event).__name__}")
        attributes = {
            name: _text(name, value) for name, value in event.items() if value is not None and name not in _BODY
        }
        content_type = attributes.pop("datacontenttype", _JSON)
        found = {PREFIX + name: value for name, value in attributes.items()}
        attributes_in(found)
        others = {name: value for name, value in headers.items() if not name.startswith(PREFIX)}
        payload = _payload(event, content_type, headers)
        return Message(payload, headers={**others, CONTENT_TYPE: content_type, **found})


def _text(name: str, value: object) -> str:
    """As it would be in a header: an attribute is a text, a whole number or a truth."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int):
        raise ConversionError(f"the CloudEvents attribute {name!r:.80} should be a text, a whole number or a boolean")
    return str(value)


def _payload(event: Mapping[str, Any], content_type: str, headers: Mapping[str, str]) -> Any:
    """The data, by the content type that the event names for it."""
    encoded = event.get("data_base64")
    if encoded is not None:
        try:
            value = base64.b64decode(encoded, validate=True)
        except (TypeError, ValueError, binascii.Error) as error:
            raise ConversionError(f"data_base64 is no base64: {error}") from error
        return converter_for(content_type).decode(value, headers).payload
    data = event.get("data")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == _JSON or media_type.endswith("+json"):
        return data
    if not isinstance(data, str):
        raise ConversionError(f"data of content type {content_type!r:.80} should be a text")
    return converter_for(content_type).decode(data.encode(), headers).payload
