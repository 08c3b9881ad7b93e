"""Between a message and its bytes: one converter for each content type."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any, Protocol

from event_stream import user_context
from event_stream.conf import Binding
from event_stream.errors import ConversionError
from event_stream.messaging import headers
from event_stream.messaging.interceptors import intercepted
from event_stream.messaging.message import JSON, ConsumerRecord, JsonText, Message, ProducerRecord


class Converter(Protocol):
    """Stateless. It is given the whole message and makes one, as some content types carry more than the payload."""

    content_type: str
    """The media type it is for, in lower case and without parameters."""

    def encode(self, message: Message[Any]) -> bytes:
        """Raises ConversionError for a payload that can't be said in this content type."""

    def decode(self, value: bytes, headers: Mapping[str, str]) -> Message[Any]:
        """The payload and all headers, without a key. Raises ConversionError for what is not of this content type."""


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a value of JSON")


# json.loads with an argument makes one each time.
_DECODER = json.JSONDecoder(parse_constant=_refuse)


class JsonConverter:
    """application/json: compact, UTF-8, and nothing that JSON has no word for (NaN)."""

    content_type = "application/json"

    def encode(self, message: Message[JSON]) -> bytes:
        if isinstance(message.payload, JsonText):
            return message.payload.encode()
        try:
            text = json.dumps(message.payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            return text.encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ConversionError(f"the payload can't be written as JSON: {error}") from error

    def decode(self, value: bytes, headers: Mapping[str, str]) -> Message[JSON]:
        try:
            return Message(_DECODER.decode(value.decode()), headers=headers)
        except (ValueError, RecursionError) as error:
            raise ConversionError(f"the body is no JSON: {error}") from error


_converters: dict[str, Converter] = {}


def register(converter: Converter) -> None:
    """Make a converter known to every binding of this process; a later one takes an earlier one's place."""
    _converters[converter.content_type] = converter


def converter_for(content_type: str) -> Converter:
    """The converter for a Content-Type value, whose parameters (charset) are passed over."""
    try:
        return _converters[_media_type(content_type)]
    except KeyError:
        known = ", ".join(sorted(_converters))
        raise ConversionError(
            f"there is no converter for content type {content_type!r:.80}; known are {known}"
        ) from None


@functools.lru_cache(maxsize=128)
def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


register(JsonConverter())


def encode(binding: Binding, message: Message[Any], context: Mapping[str, str] | None = None) -> ProducerRecord:
    """The message as it goes to the platform. Raises ConversionError.

    `context` are the headers that go with it if it has none of these; by default those of the user context.
    """
    if binding.producer.interceptors:
        message = intercepted(binding, _parsed(message))
    if context is None:
        context = user_context.current_or_new().message_headers()
    complete = {headers.CONTENT_TYPE: binding.content_type, **context, **message.headers}
    converter = converter_for(complete[headers.CONTENT_TYPE])
    complete_message = Message(message.payload, message.key, complete)
    if not isinstance(converter, JsonConverter):
        complete_message = _parsed(complete_message)
    return ProducerRecord(
        destination=binding.destination,
        key=None if message.key is None else message.key.encode(),
        value=converter.encode(complete_message),
        headers=headers.encode(complete, binding.header_format),
    )


def _parsed(message: Message[Any]) -> Message[Any]:
    if not isinstance(message.payload, JsonText):
        return message
    try:
        return dataclasses.replace(message, payload=json.loads(message.payload))
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"the payload can't be read: {error}") from error


def decode(binding: Binding, record: ConsumerRecord) -> Message[Any]:
    """The message in a record, read by the content type it names or else by the binding's. Raises ConversionError."""
    if record.value is None:
        raise ConversionError("the body is null")
    message_headers = headers.decode(record.headers)
    converter = converter_for(message_headers.get(headers.CONTENT_TYPE, binding.content_type))
    key = None if record.key is None else record.key.decode(errors="backslashreplace")
    message = converter.decode(record.value, message_headers)
    return Message(message.payload, key, message.headers)
