"""Messages as bytes: what Spring Cloud Stream sends is read, what it can read is sent."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from event_stream import ConsumerRecord, ConversionError, Message, decode, encode, user_context
from event_stream.conf import Binding, ProducerSettings
from event_stream.messaging import headers
from event_stream.messaging.cloudevents import attributes
from event_stream.messaging.cloudevents.converter import CloudEventsConverter
from event_stream.messaging.converters import converter_for, register
from event_stream.messaging.message import JsonText

BINDING = Binding("out", "orgChangeTopic", "memory")
RECORDED = json.loads((Path(__file__).parents[2] / "event_stream/data/spring_cloud_stream_messages.json").read_text())[
    "messages"
]
ID = "1bcb5aa0-69a5-478e-9064-aca2d67601a6"


def recorded(number: int) -> ConsumerRecord:
    message = RECORDED[number]
    header_bytes = tuple((name, value.encode("latin-1")) for name, value in message["headers"])
    return ConsumerRecord(
        "orgChangeTopic", 0, number, message["key"], message["value"].encode("latin-1"), header_bytes, 0
    )


def record(value: bytes | None, *header_bytes: tuple[str, bytes], key: bytes | None = None) -> ConsumerRecord:
    return ConsumerRecord("orgChangeTopic", 0, 0, key, value, header_bytes, 0)


@pytest.mark.parametrize(
    ("number", "action", "correlation_id"),
    [(0, "SAVE", "corr-fixture-1"), (1, "UPDATE", "corr-fixture-2"), (2, "GET", "corr-fixture-3"), (3, "DELETE", None)],
)
def test_reads_what_the_books_service_sends(number: int, action: str, correlation_id: str | None) -> None:
    message = decode(BINDING, recorded(number))
    assert message.payload == {
        "type": "com.optimagrowth.organization.events.model.OrganizationChangeModel",
        "action": action,
        "organizationId": ID,
        "correlationId": correlation_id,
    }
    assert message.key is None
    assert message.headers == {"contentType": "application/json"}


@pytest.mark.parametrize("number", range(4))
def test_writes_the_recorded_bytes_again(number: int) -> None:
    original = recorded(number)
    message = decode(BINDING, original)
    assert converter_for("application/json").encode(message) == original.value
    assert headers.encode(message.headers, "spring") == original.headers


def test_sends_what_the_books_consumer_evicts_on() -> None:
    payload = {"type": "t", "action": "UPDATE", "organizationId": ID, "correlationId": "c", "version": 7}
    context = user_context.UserContext(correlation_id="c-1", user_id="u", organization_id="o", authorization="Bearer x")
    with user_context.use(context):
        out = encode(BINDING, Message(payload, key=ID))
    sent = dict(out.headers)
    # It reads a quoted contentType only where spring_json_header_types names it.
    assert sent["contentType"] == b'"application/json"'
    assert sent["tmx-correlation-id"] == b'"c-1"'
    assert json.loads(sent.pop("spring_json_header_types")) == dict.fromkeys(sent, "java.lang.String")
    assert set(sent) == {"contentType", "tmx-correlation-id", "tmx-user-id", "tmx-org-id"}
    assert b"Bearer" not in b"".join(sent.values())
    assert out.key == ID.encode()
    assert json.loads(out.value or b"") == payload


def test_headers_of_the_message_take_precedence_over_the_context() -> None:
    with user_context.use(user_context.UserContext(correlation_id="of the context")):
        out = encode(BINDING, Message({}, headers={"tmx-correlation-id": "of the message"}))
    assert headers.decode(out.headers)["tmx-correlation-id"] == "of the message"


def test_without_a_context_a_correlation_id_is_minted() -> None:
    first, second = (headers.decode(encode(BINDING, Message({})).headers) for _ in range(2))
    assert user_context.is_acceptable(first["tmx-correlation-id"])
    assert first["tmx-correlation-id"] != second["tmx-correlation-id"]


def test_can_send_plain_headers() -> None:
    binding = Binding("out", "d", "memory", header_format="plain")
    out = encode(binding, Message({}, headers={"a": "é"}))
    assert ("a", "é".encode()) in out.headers
    assert "spring_json_header_types" not in dict(out.headers)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b'"application/json"', "application/json"),
        (b"application/json", "application/json"),
        (b'"a \\"quoted\\" word"', 'a "quoted" word'),
        ('"한국"'.encode(), "한국"),
        (b'"not closed', '"not closed'),
        (b'"bad \\x escape"', '"bad \\x escape"'),
        (b'"', '"'),
        (b"", ""),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"5", "5"),
    ],
)
def test_takes_quoted_and_plain_headers(given: bytes, expected: str) -> None:
    assert headers.decode([("name", given)]) == {"name": expected}


@pytest.mark.parametrize("text", ["", "plain", '"', "한국어 🚀", "a\nb", "\\", '{"a":1}'])
@pytest.mark.parametrize("header_format", ["spring", "plain"])
def test_headers_come_back_as_they_were(text: str, header_format: Any) -> None:
    assert headers.decode(headers.encode({"name": text}, header_format)) == {"name": text}


@pytest.mark.parametrize(
    "header", [(), (("contentType", b"application/json"),), (("contentType", b'"application/json;charset=UTF-8"'),)]
)
def test_reads_a_message_by_its_content_type_or_the_bindings(header: tuple[tuple[str, bytes], ...]) -> None:
    assert decode(BINDING, record(b'{"a":"\xc3\xa9"}', *header, key=b"k")).payload == {"a": "é"}


@pytest.mark.parametrize(
    "value",
    [None, b"", b"{", b"\xff", b"\xef\xbb\xbf{}", b"NaN", b'{"a":Infinity}', b"[" * 100_000, b"1" * 5_000],
)
def test_refuses_what_is_no_json(value: bytes | None) -> None:
    with pytest.raises(ConversionError):
        decode(BINDING, record(value))


def test_refuses_a_content_type_it_does_not_know() -> None:
    with pytest.raises(
        ConversionError, match=r"no converter for content type 'text/xml'; known are .*application/json"
    ):
        decode(BINDING, record(b"<a/>", ("contentType", b"text/xml")))


@pytest.mark.parametrize("payload", [{1, 2}, float("nan"), object(), {"a": b"bytes"}, "\ud800"])
def test_refuses_a_payload_that_json_has_no_word_for(payload: Any) -> None:
    with pytest.raises(ConversionError):
        encode(BINDING, Message(payload))


def doubled(message: Message[Any]) -> Message[Any]:
    return dataclasses.replace(message, payload={**message.payload, "n": 2 * message.payload["n"]})


@pytest.mark.parametrize("interceptors", [(), (f"{__name__}.doubled",)], ids=["plain", "intercepted"])
@pytest.mark.parametrize("content_type", ["application/json", "application/cloudevents+json"])
def test_json_that_is_text_already_says_the_same(content_type: str, interceptors: tuple[str, ...]) -> None:
    register(CloudEventsConverter())
    binding = Binding(
        "out", "d", "memory", content_type=content_type, producer=ProducerSettings(interceptors=interceptors)
    )
    payload = {"n": 3, "name": "한국어 🚀", "deep": [1.5, None, {"a": True}]}
    event = attributes(id="e-1", source="/things", type="org.example.changed")
    sent = [encode(binding, Message(body, "k", event), {}) for body in (payload, JsonText(json.dumps(payload)))]
    assert [decode(binding, record(out.value, *out.headers)).payload for out in sent] == [
        {**payload, "n": 6 if interceptors else 3}
    ] * 2
    assert sent[0].headers == sent[1].headers


@pytest.mark.parametrize("text", ["1" * 5_000, "{"])
def test_text_that_is_no_json_is_refused_where_it_has_to_be_read(text: str) -> None:
    binding = Binding("out", "d", "memory", producer=ProducerSettings(interceptors=(f"{__name__}.doubled",)))
    with pytest.raises(ConversionError, match="the payload can't be read"):
        encode(binding, Message(JsonText(text)))


def test_refuses_a_header_that_has_no_bytes() -> None:
    with pytest.raises(ConversionError):
        encode(BINDING, Message({}, headers={"a": "\ud800"}))


def test_a_key_that_is_no_text_does_not_spoil_the_message() -> None:
    assert decode(BINDING, record(b"{}", key=b"\x00\xff")).key == "\x00\\xff"


def test_another_content_type_can_be_registered() -> None:
    class Upper:
        content_type = "text/x-upper"

        def encode(self, message: Message[str]) -> bytes:
            return message.payload.upper().encode()

        def decode(self, value: bytes, headers: Mapping[str, str]) -> Message[str]:
            return Message(value.decode().lower(), headers=headers)

    register(Upper())
    binding = Binding("b", "d", "memory", content_type="text/x-upper")
    out = encode(binding, Message("hello"))
    assert out.value == b"HELLO"
    assert decode(BINDING, record(out.value, *out.headers)).payload == "hello"


@pytest.mark.parametrize("name", ["tmx-org-id", "tmx-organization-id", "TMX-Organization-Id"])
def test_both_names_of_the_organizations_header_are_read(name: str) -> None:
    arrived = decode(BINDING, record(b"{}", (name, b'"o-1"')))
    context, _ = user_context.from_headers(arrived.headers)
    assert context.organization_id == "o-1"
    assert dict(context.message_headers())["tmx-org-id"] == "o-1"
