"""`manage.py doctor` of the licensing service: what is its own."""

import dataclasses
import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from devstack.ports import free_port
from event_stream.messaging.channel import registry
from event_stream.operations.pauses import pause
from organization_lookup import lookup
from tests.licensing_project.conftest import use_lookup
from tests.licensing_project.organization_service import OrganizationService, answering

# Checks run on threads with connections of their own.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def platform(settings: Any, organization_service: OrganizationService) -> Any:
    # Kafka's own properties are none of this one's.
    bindings = {name: {**each, "producer": {}} for name, each in settings.EVENT_STREAM["bindings"].items()}
    settings.EVENT_STREAM = {"binders": {"kafka": {"type": "memory"}}, "bindings": bindings}
    yield
    registry().close()


def doctor() -> tuple[int, dict[str, dict[str, str]]]:
    out, code = io.StringIO(), 0
    try:
        call_command("doctor", "--json", stdout=out)
    except CommandError as error:
        code = error.returncode
    return code, {each["subject"]: each for each in json.loads(out.getvalue())["findings"]}


def test_what_it_needs_is_looked_at() -> None:
    code, found = doctor()
    for subject in ("database", "Redis", "Redis eviction", "ORG_CHANGE_PARTITIONS", "organization service"):
        assert found[subject]["level"] == "ok", found[subject]
    # No worker has been at work in this test's cache.
    worse = [each["subject"] for each in found.values() if each["level"] in {"unknown", "warning", "failed"}]
    assert worse == ["shared settings", "watermarks"]
    for subject in worse:
        assert "manage.py consume_org_changes" in found[subject]["remedy"]
    assert code == 3


def test_what_is_paused_on_purpose_is_said_and_is_no_alarm() -> None:
    for partition in range(6):
        lookup.current().cache.begin_epoch(partition, 0, instead_of=None)
    pause("inboundOrgChanges", None)
    found = doctor()[1]
    assert found["watermarks"]["level"] == "ok"
    assert "paused on purpose: every partition" in found["watermarks"]["text"]


def test_another_number_of_partitions(settings: Any) -> None:
    settings.ORG_CHANGE_PARTITIONS = 5
    code, found = doctor()
    assert (code, found["ORG_CHANGE_PARTITIONS"]["level"]) == (4, "failed")
    assert found["ORG_CHANGE_PARTITIONS"]["text"] == "5, but orgChangeTopic has 6"
    assert "set it to 6" in found["ORG_CHANGE_PARTITIONS"]["remedy"]


def test_an_organization_service_that_is_away(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    options = dataclasses.replace(settings.ORGANIZATION_LOOKUP, base_url=f"http://127.0.0.1:{free_port()}")
    use_lookup(monkeypatch, options, "doctor-")
    code, found = doctor()
    assert (code, found["organization service"]["level"]) == (4, "failed")
    assert "connection failed" in found["organization service"]["text"]


@pytest.mark.parametrize(("status", "level"), [(500, "failed"), (404, "failed"), (401, "ok")])
def test_what_the_organization_service_answers(
    organization_service: OrganizationService, status: int, level: str
) -> None:
    """A 404 without a version is some gateway's own."""
    organization_service.behaviour = answering(status, b"{}")
    assert doctor()[1]["organization service"]["level"] == level
