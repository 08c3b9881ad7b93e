"""The event between the two services: the producer's schema, what this service expects of it, and what it reads."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from devstack.environment import ROOT
from event_stream import Binding, ConsumerRecord
from event_stream.fenced_cache import Change, Heartbeat
from event_stream.testing.schemas import breaks
from organization_lookup.handlers import CHANGES, FIELDS, INTERVAL_S, OTHERS, OrganizationChangeDecoder, Unknown

PUBLISHED = json.loads((ROOT / "org_project/organizations/schema/organization_change.v1.json").read_text())
EXPECTED = json.loads(
    (settings.BASE_DIR / "organization_lookup" / "schema" / "organization_change.expected.json").read_text()
)
CHANGE = PUBLISHED["$defs"]["change"]
NOW_US = int(datetime.now(UTC).timestamp() * 1_000_000)

instants = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1)).map(
    lambda it: it.isoformat(timespec="microseconds") + "Z"
)
changes = st.fixed_dictionaries(
    {
        "type": st.text(min_size=1),
        "action": st.sampled_from(CHANGE["properties"]["action"]["enum"]),
        "organizationId": st.uuids().map(str),
        "correlationId": st.from_regex(CHANGE["properties"]["correlationId"]["pattern"], fullmatch=True),
        "version": st.integers(1, NOW_US),
        "eventId": st.uuids().map(str),
        "occurredAt": instants,
    },
    optional={"ofALaterTime": st.integers() | st.text()},
)
heartbeats = st.fixed_dictionaries(
    {"type": st.text(min_size=1), "action": st.just("GET"), "correlationId": st.just(""), "asOf": instants}
)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def now_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return self.now_s


def decoder(unknown: Unknown | None = None) -> OrganizationChangeDecoder:
    return OrganizationChangeDecoder(
        Binding("inboundOrgChanges", "orgChangeTopic", "kafka", group="licensingGroup"), unknown
    )


def record(payload: Any) -> ConsumerRecord:
    return ConsumerRecord("orgChangeTopic", 0, 7, None, json.dumps(payload).encode(), (), 0)


def test_what_is_published_keeps_to_what_is_expected() -> None:
    assert breaks(EXPECTED, PUBLISHED) == []


def test_what_is_expected_is_all_that_is_read() -> None:
    read = {name for kind in EXPECTED["$defs"].values() for name in kind["properties"]}
    published = {name for kind in PUBLISHED["$defs"].values() for name in kind.get("properties", ())}
    assert read <= FIELDS == published


def test_every_action_that_is_published_is_understood() -> None:
    assert set(CHANGE["properties"]["action"]["enum"]) == {*CHANGES, "GET"}


@hypothesis_settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(changes | heartbeats)
def test_every_message_of_the_schema_is_read(payload: dict[str, Any]) -> None:
    Draft202012Validator(PUBLISHED).validate(payload)
    told = decoder()(record(payload))
    if "asOf" in payload:
        assert isinstance(told, Heartbeat)
    elif payload["action"] == "GET":
        assert told is None
    else:
        assert isinstance(told, Change)
        assert (told.id, told.version) == (payload["organizationId"], payload["version"])
        assert told.correlation_id == payload["correlationId"]


def test_what_is_unknown_is_passed_over_counted_and_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    decode = decoder(Unknown(clock))
    update = {"action": "UPDATED", "organizationId": "1bcb5aa0-69a5-478e-9064-aca2d67601a6"}
    for _ in range(3):
        assert decode(record({**update, "region": "EU"})) == decode(record(update))
        assert decode(record({**update, "action": "MERGED"})) is None
    clock.now_s = INTERVAL_S
    decode(record({**update, "region": "EU"}))
    decode(record({**update, "action": "MERGED"}))
    told = [(line.getMessage(), vars(line)["unknown"], vars(line)["count"]) for line in caplog.records]
    assert told == [
        ("message.unknown_field", "region", 1),
        ("message.unknown_action", "MERGED", 1),
        ("message.unknown_field", "region", 4),
        ("message.unknown_action", "MERGED", 4),
    ]


def test_a_producer_gone_wild_is_counted_in_bounded_space(caplog: pytest.LogCaptureFixture) -> None:
    decode = decoder(Unknown(Clock()))
    for number in range(500):
        decode(record({"action": "GET", f"field-{number}": 1}))
    names = [vars(line)["unknown"] for line in caplog.records]
    assert len(names) == 101
    assert names[-1] == OTHERS
