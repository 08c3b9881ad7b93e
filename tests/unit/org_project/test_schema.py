"""The event's schema: nothing changes that a consumer of the last released version relies on."""

import copy
import json
from typing import Any

import pytest

from event_stream.testing.schemas import breaks
from organizations.events import ActionEnum
from organizations.outbound import SPRING_ACTIONS
from tests.org_project.conftest import SCHEMA

RELEASED: dict[str, Any] = json.loads(SCHEMA.with_name("organization_change.v1.released.json").read_text())
WORKING: dict[str, Any] = json.loads(SCHEMA.read_text())


def test_a_consumer_of_the_last_release_reads_what_is_published_now() -> None:
    assert breaks(RELEASED, WORKING) == [], (
        "this needs a version of its own: organization_change.v2.json, on another topic"
    )


def test_each_word_that_can_be_published_is_in_it() -> None:
    assert set(WORKING["$defs"]["change"]["properties"]["action"]["enum"]) == {*ActionEnum, *SPRING_ACTIONS.values()}


def _narrowed(schema: dict[str, Any], key: str) -> dict[str, Any]:
    change: dict[str, Any] = copy.deepcopy(schema)
    del change["$defs"]["change"]["properties"][key]
    change["$defs"]["change"]["required"].remove(key)
    return change


@pytest.mark.parametrize(
    "key", ["type", "action", "organizationId", "correlationId", "version", "eventId", "occurredAt"]
)
def test_no_key_can_be_taken_away_unnoticed(key: str) -> None:
    assert breaks(RELEASED, _narrowed(WORKING, key)) == [
        f"message<#/$defs/change>.{key}: is no longer required",
        f"message<#/$defs/change>.{key}: is taken away",
    ]
