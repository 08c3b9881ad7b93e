"""CloudEvents 1.0 in both modes, with the project's own library as the other end."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka, to_binary, to_structured
from cloudevents.core.formats.base import Format
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from event_stream import ConsumerRecord, ConversionError, Message, ProducerRecord, decode, encode
from event_stream.conf import Binding
from event_stream.messaging import cloudevents

STRUCTURED = Binding("s", "d", "memory", content_type="application/cloudevents+json", header_format="cloudevents")
BINARY = Binding("b", "d", "memory", header_format="cloudevents")
READER = Binding("r", "d", "memory")
PAYLOAD = {"name": "한국 🚀", "count": 3}
ATTRIBUTES = {
    "id": "e-1",
    "source": "/things",
    "type": "org.example.changed",
    "subject": "thing-7",
    "time": "2026-11-25T18:00:00.000001Z",
    "partitionkey": "thing-7",
}
SENT: Message[Any] = Message(PAYLOAD, key="thing-7", headers=cloudevents.attributes(**ATTRIBUTES))
MODES = pytest.mark.parametrize("binding", [STRUCTURED, BINARY], ids=["structured", "binary"])


def arrived(out: ProducerRecord) -> ConsumerRecord:
    return ConsumerRecord("d", 0, 0, out.key, out.value, out.headers, 0)


def read(value: Any, content_type: str = "application/cloudevents+json", name: str = "content-type") -> Message[Any]:
    value = value if isinstance(value, bytes) else json.dumps(value).encode()
    return decode(READER, ConsumerRecord("d", 0, 0, None, value, ((name, content_type.encode()),), 0))


def event(**changes: Any) -> dict[str, Any]:
    """The body of one in structured mode."""
    complete = {"specversion": "1.0", "id": "e-1", "source": "/things", "type": "t", "data": PAYLOAD} | changes
    return {name: value for name, value in complete.items() if value is not ...}


@MODES
def test_what_is_written_is_read_by_the_library(binding: Binding) -> None:
    out = encode(binding, SENT)
    found = from_kafka(KafkaMessage(dict(out.headers), out.key, out.value or b""), JSONFormat())
    assert found.get_data() == PAYLOAD
    assert found.get_datacontenttype() == "application/json"
    assert found.get_time() == datetime(2026, 11, 25, 18, 0, 0, 1, tzinfo=UTC)
    read_back = {name: found.get_attributes()[name] for name in ATTRIBUTES if name != "time"}
    assert read_back == {name: value for name, value in ATTRIBUTES.items() if name != "time"}


@pytest.mark.parametrize("write", [to_structured, to_binary])
def test_what_the_library_writes_is_read(write: Callable[[BaseCloudEvent, Format], KafkaMessage]) -> None:
    given = {
        **ATTRIBUTES,
        "time": datetime(2026, 11, 25, 18, 0, 0, 1, tzinfo=UTC),
        "datacontenttype": "application/json",
    }
    sent = write(CloudEvent(given, dict(PAYLOAD)), JSONFormat())
    key = sent.key.encode() if isinstance(sent.key, str) else sent.key
    message = decode(READER, ConsumerRecord("d", 0, 0, key, sent.value, tuple(sent.headers.items()), 0))
    assert (message.payload, message.key) == (PAYLOAD, "thing-7")
    assert message.headers == {**SENT.headers, "contentType": "application/json"}


def test_both_modes_bring_the_same_message() -> None:
    headers = {**SENT.headers, "tmx-correlation-id": "c-1"}
    sent = Message(PAYLOAD, "thing-7", headers)
    structured, binary = (decode(READER, arrived(encode(binding, sent))) for binding in (STRUCTURED, BINARY))
    assert structured == binary == Message(PAYLOAD, "thing-7", headers | {"contentType": "application/json"})


def test_the_mode_can_be_told_by_the_headers_alone() -> None:
    """Some readers go by the content type, some by whether there are attributes in the headers."""
    structured, binary = (dict(encode(binding, SENT).headers) for binding in (STRUCTURED, BINARY))
    assert structured["content-type"] == b"application/cloudevents+json"
    assert not [name for name in structured if name.startswith("ce_")]
    assert binary["content-type"] == b"application/json"
    assert binary["ce_specversion"] == b"1.0"
    assert "contentType" not in structured.keys() | binary.keys()


def test_the_structured_mode_tells_spring_that_the_content_type_is_a_text() -> None:
    """Spring Cloud Stream 4.2 takes a content type of no known type for none, and reads null in each field."""
    sent = Message(PAYLOAD, headers={**SENT.headers, "tmx-correlation-id": "c-1"})
    structured, binary = (dict(encode(binding, sent).headers) for binding in (STRUCTURED, BINARY))
    assert structured["content-type"] == b"application/cloudevents+json"
    assert json.loads(structured["spring_json_header_types"]) == {
        "content-type": "java.lang.String",
        "tmx-correlation-id": "java.lang.String",
    }
    assert "spring_json_header_types" not in binary


@MODES
@pytest.mark.parametrize("missing", ["ce_id", "ce_source", "ce_type", "ce_specversion"])
def test_refuses_to_send_what_is_no_event(binding: Binding, missing: str) -> None:
    headers = {name: value for name, value in SENT.headers.items() if name != missing}
    with pytest.raises(ConversionError, match=missing):
        encode(binding, Message(PAYLOAD, headers=headers))


@pytest.mark.parametrize(
    "wrong", [{"id": ""}, {"source": ""}, {"type": ""}, {"subject": ""}, {"Upper": "x"}, {"with_line": "x"}, {"é": "x"}]
)
def test_refuses_attributes_that_are_none(wrong: dict[str, str]) -> None:
    with pytest.raises(ConversionError, match=next(iter(wrong))):
        cloudevents.attributes(**(ATTRIBUTES | wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        b"{",
        event(specversion="0.3"),
        event(specversion=...),
        event(id=...),
        event(id=""),
        event(source=None),
        event(type=5.5),
        event(type={}),
        event(Upper="x"),
        event(data=..., data_base64="***"),
        event(data=..., data_base64=5),
        event(data={}, datacontenttype="text/xml"),
        event(data="<a/>", datacontenttype="text/xml"),
        event(datacontenttype=""),
    ],
)
def test_refuses_to_read_what_is_no_event(wrong: Any) -> None:
    with pytest.raises(ConversionError):
        read(wrong)


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        (event(data=...), None),
        (event(subject=None), PAYLOAD),
        (event(datacontenttype="application/vnd.thing+json; charset=utf-8"), PAYLOAD),
        (event(data=..., data_base64=base64.b64encode(b'{"a":1}').decode()), {"a": 1}),
    ],
)
def test_reads_each_form_of_the_data(body: Any, payload: Any) -> None:
    assert read(body).payload == payload


def test_attributes_of_other_types_become_text() -> None:
    headers = read(event(sequence=7, sampled=True)).headers
    assert (headers["ce_sequence"], headers["ce_sampled"]) == ("7", "true")


@pytest.mark.parametrize("name", ["content-type", "contentType"])
@pytest.mark.parametrize(
    "content_type", ["application/cloudevents+json; charset=UTF-8", '"application/cloudevents+json"']
)
def test_the_content_type_may_be_named_and_written_either_way(name: str, content_type: str) -> None:
    assert read(event(), content_type, name).payload == PAYLOAD


def test_a_batch_is_refused() -> None:
    with pytest.raises(ConversionError, match="no converter for content type"):
        read([event()], "application/cloudevents-batch+json")
