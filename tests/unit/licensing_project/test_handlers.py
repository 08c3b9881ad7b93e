"""Organization change messages: ours, those recorded from the book's own service, and those that are none."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import KafkaMessage, to_binary, to_structured
from cloudevents.core.formats.base import Format
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from event_stream import Binding, ConsumerRecord, ConversionError
from event_stream.fenced_cache import Change, Heartbeat
from organization_lookup.handlers import OrganizationChangeDecoder, canonical_id, id_of_key
from service_kit.uuids import parse_uuid

DATA = Path(__file__).parents[2] / "licensing_project/data" / "spring_cloud_stream_messages.json"
ID = "1bcb5aa0-69a5-478e-9064-aca2d67601a6"
BINDING = Binding("inboundOrgChanges", "orgChangeTopic", "kafka", group="licensingGroup")
decode = OrganizationChangeDecoder(BINDING)


def record(value: bytes | None, key: bytes | None = ID.encode(), headers: Any = ()) -> ConsumerRecord:
    return ConsumerRecord("orgChangeTopic", 0, 7, key, value, tuple(headers), timestamp_ms=1_700_000_000_000)


def message(**fields: Any) -> ConsumerRecord:
    return record(json.dumps({"action": "UPDATED", "organizationId": ID, "correlationId": "c", **fields}).encode())


def recorded() -> list[ConsumerRecord]:
    return [
        record(
            each["value"].encode("latin-1"),
            None if each["key"] is None else each["key"].encode("latin-1"),
            [(name, value.encode("latin-1")) for name, value in each["headers"]],
        )
        for each in json.loads(DATA.read_text())["messages"]
    ]


def test_the_recorded_messages_of_a_spring_cloud_stream_service() -> None:
    at = {"occurred_at_ms": 1_700_000_000_000}
    assert [decode(each) for each in recorded()] == [
        Change(ID, None, "corr-fixture-1", **at),
        Change(ID, None, "corr-fixture-2", **at),
        None,
        Change(ID, None, None, **at),
    ]


@pytest.mark.parametrize("action", ["CREATED", "UPDATED", "DELETED", "SAVE", "UPDATE", "DELETE"])
def test_our_own_messages_bring_the_version_and_the_time(action: str) -> None:
    version = time.time_ns() // 1000
    told = decode(message(action=action, version=version, occurredAt="2026-11-23T18:00:00.123999Z", type="x"))
    assert told == Change(ID, version, "c", 1_795_456_800_123)


SPELLINGS: list[Callable[[str], str]] = [
    str,
    str.upper,
    "{{{}}}".format,
    "urn:uuid:{}".format,
    lambda id: id.replace("-", ""),
    lambda id: f"URN:UUID:{id.upper()}",
]


@given(st.uuids(), st.sampled_from(SPELLINGS), st.sampled_from(SPELLINGS))
def test_every_spelling_of_an_id_is_the_same_organization(
    id: UUID, in_body: Callable[[str], str], in_key: Callable[[str], str]
) -> None:
    change = decode(message(organizationId=in_body(str(id))))
    assert isinstance(change, Change)
    assert change.id == id_of_key(in_key(str(id)).encode()) == canonical_id(in_key(str(id))) == str(id)
    assert parse_uuid(in_body(str(id))) == id


@given(st.text(max_size=50) | st.text("0123456789abcdef-{}urn:id", max_size=50))
def test_nothing_else_is_an_id(text: str) -> None:
    hexadecimal = "".join(re.findall(r"[0-9a-f]", text.lower().replace("urn:uuid:", "")))
    assert canonical_id(text) is None or (len(hexadecimal) == 32 and canonical_id(hexadecimal) == canonical_id(text))


@pytest.mark.parametrize("id", ["../../etc/passwd", ID + "\n", "{" + ID, f"{ID[:9]}-{ID[9:]}", "customer-5", ""])
def test_an_id_that_is_no_uuid_is_passed_over(id: str, caplog: pytest.LogCaptureFixture) -> None:
    decode_one = OrganizationChangeDecoder(BINDING)
    for _ in range(3):
        assert decode_one(record(message(organizationId=id).value, key=b"customer-5")) is None
        assert decode_one(record(message(organizationId=id).value, key=None)) is None
    assert [line.getMessage() for line in caplog.records] == ["message.unknown_id"]
    assert not id or id not in caplog.text


def test_its_key_evicts_nevertheless() -> None:
    change = decode(record(message(organizationId="customer-5").value, key=ID.upper().encode()))
    assert isinstance(change, Change)
    assert (change.id, change.version) == (ID, None)


def test_without_a_correlation_id_in_the_body_the_header_counts() -> None:
    body = json.dumps({"action": "UPDATED", "organizationId": ID, "correlationId": None}).encode()
    told = decode(record(body, headers=[("tmx-correlation-id", b'"from-header"')]))
    assert isinstance(told, Change)
    assert told.correlation_id == "from-header"


def test_a_heartbeat_is_a_get_that_names_no_organization() -> None:
    beat = {"type": "x", "action": "GET", "correlationId": "", "asOf": "2026-11-23T18:00:00.123999Z"}
    assert decode(record(json.dumps(beat).encode(), key=None)) == Heartbeat(1_795_456_800_123)


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "GET"},
        {"action": "GET", "asOf": "2026-11-23T18:00:00Z"},
        {"action": "GET", "organizationId": None},
        {"action": "GET", "organizationId": None, "asOf": "yesterday"},
        {"action": "GET", "organizationId": None, "asOf": "2026-11-23T18:00:00"},
        {"action": "GET", "organizationId": None, "asOf": 5},
        {"action": "ARCHIVED"},
        {"action": "updated"},
        {"action": "ARCHIVED", "organizationId": 5},
    ],
)
def test_what_changes_nothing_is_passed_over(fields: dict[str, Any]) -> None:
    assert decode(message(**fields)) is None


@pytest.mark.parametrize(
    "broken",
    [
        record(None),
        record(b""),
        record(b"\xff\xfe"),
        record(b"not json"),
        record(b"[]"),
        record(b'"UPDATED"'),
        record(b"{}"),
        message(action=None),
        message(action=["UPDATED"]),
        message(organizationId=None),
        message(organizationId=5),
        record(b"[" * 100_000),
        record(b"{}", headers=[("contentType", b'"application/x-java-object"')]),
    ],
)
def test_what_is_no_message_is_a_conversion_error(broken: ConsumerRecord) -> None:
    with pytest.raises(ConversionError):
        decode(broken)


# Named: the number of a time would be another in each run.
@pytest.mark.parametrize(
    "version",
    ["7", 7.5, True, -1, 2**60, (time.time_ns() // 1000) + 2 * 3_600_000_000, [], {}],
    ids=["text", "fraction", "boolean", "negative", "too large", "two hours ahead", "list", "object"],
)
def test_a_version_that_can_not_be_one_still_evicts(version: Any) -> None:
    told = decode(message(version=version))
    assert isinstance(told, Change)
    assert (told.id, told.version) == (ID, None)


def test_an_unusable_time_is_replaced_by_the_records() -> None:
    told = decode(message(occurredAt="soon"))
    assert isinstance(told, Change)
    assert told.occurred_at_ms == 1_700_000_000_000


@pytest.mark.parametrize("correlation_id", [5, {"a": 1}, ["x"], "x" * 100_000, "a\nb", ""])
def test_a_correlation_id_that_is_none_is_not_handed_on(correlation_id: Any) -> None:
    told = decode(message(correlationId=correlation_id))
    assert isinstance(told, Change)
    assert told.correlation_id is None


@pytest.mark.parametrize("write", [to_structured, to_binary], ids=["structured", "binary"])
def test_events_of_any_cloudevents_producer_are_read_without_a_setting(
    write: Callable[[BaseCloudEvent, Format], KafkaMessage],
) -> None:
    version = time.time_ns() // 1000
    data = {"action": "UPDATED", "organizationId": ID, "correlationId": "c", "version": version}
    about = {"type": "t", "source": "/v1/organization", "datacontenttype": "application/json"}
    sent = write(CloudEvent(about, data), JSONFormat())
    told = decode(record(sent.value, headers=sent.headers.items()))
    assert told == Change(ID, version, "c", 1_700_000_000_000)
