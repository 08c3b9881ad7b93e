"""Another version of this service knows another field: it must neither get nor confirm an answer without it."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from django.test import Client

from event_stream.fenced_cache import CacheStatus, Eviction, Found, FreshnessRequirement, State
from licenses.api import responses
from licenses.selectors import LicenseRow
from organization_lookup import lookup, organization
from tests.licensing_project.organization_service import NASA, OrganizationService, answering

ANY = FreshnessRequirement()


def with_a_field(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(organization, "FIELDS", organization.FIELDS | {"country": "country"})


def without_a_field(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(organization, "FIELDS", dict(list(organization.FIELDS.items())[:-1]))


def in_another_order(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(organization, "FIELDS", dict(reversed(organization.FIELDS.items())))


def with_a_renamed_member(patch: pytest.MonkeyPatch) -> None:
    renamed = {"name" if name == "organizationName" else name: field for name, field in organization.FIELDS.items()}
    patch.setattr(organization, "FIELDS", renamed)


def with_ascii_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(organization, "_COMPACT", json.JSONEncoder(separators=(",", ":")).encode)


def from_another_place(patch: pytest.MonkeyPatch) -> None:
    def members(found: Mapping[str, Any]) -> bytes:
        moved = {
            name: found.get(field) for name, field in (organization.FIELDS | {"organizationName": "title"}).items()
        }
        return json.dumps(moved, ensure_ascii=False, separators=(",", ":"))[1:-1].encode()

    patch.setattr(organization, "members", members)


CHANGES = pytest.mark.parametrize(
    "change",
    [with_a_field, without_a_field, in_another_order, with_a_renamed_member, with_ascii_only, from_another_place],
)


@CHANGES
def test_a_change_of_the_encoded_fields_changes_both_names(change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = organization.representation(), responses.representation()
    assert (organization.representation(), responses.representation()) == before
    change(monkeypatch)
    assert organization.representation() != before[0]
    assert responses.representation() != before[1]


def test_a_field_of_the_license_itself_changes_the_answers_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = organization.representation(), responses.representation()
    real = responses.render_fast

    def render(row: LicenseRow, spliceable: bytes | None) -> bytes:
        return real(row, spliceable)[:-1] + b',"seats":1}'

    monkeypatch.setattr(responses, "render_fast", render)
    assert organization.representation() == before[0]
    assert responses.representation() != before[1]


@contextmanager
def next_version() -> Iterator[lookup.Lookup]:
    """The lookup of a version of this service with another field, on the same keys and the same server."""
    ours = lookup.current()
    with pytest.MonkeyPatch.context() as patch:
        with_a_field(patch)
        patch.setattr(responses, "_REPRESENTATION", responses.representation())
        options = dataclasses.replace(_options(), base_url=ours.client._base_url)
        theirs = lookup.make(options, partitions=6, namespace=ours.cache.keys.namespace)
        patch.setattr(lookup, "current", lambda: theirs)
        yield theirs
        theirs.client.close()


def _options() -> Any:
    from django.conf import settings  # noqa: PLC0415 - as late as the fixtures

    return settings.ORGANIZATION_LOOKUP


def fields(found: Found) -> dict[str, Any]:
    assert found.value is not None
    read: dict[str, Any] = json.loads(b"{%b}" % found.value)
    return read


def test_two_versions_side_by_side_each_get_their_own_fields(organization_service: OrganizationService) -> None:
    organization_service.put(NASA, country="US")
    ours = lookup.current()
    assert "country" not in fields(ours.find(NASA, ANY))
    with next_version() as theirs:
        assert fields(theirs.find(NASA, ANY))["country"] == "US"
        assert theirs.find(NASA, ANY).source is CacheStatus.HIT
    again = ours.find(NASA, ANY)
    assert again.source is CacheStatus.MISS
    assert "country" not in fields(again)


def test_what_the_other_version_kept_is_not_served_for_want_of_better(
    api: Client, license_url: str, organization_service: OrganizationService
) -> None:
    assert api.get(license_url)["Organization-Cache"] == "miss"
    organization_service.behaviour = answering(500)
    with next_version() as theirs:
        assert theirs.cache.read(NASA).state is State.MISS
        assert api.get(license_url).status_code == 503
    assert api.get(license_url)["Organization-Cache"] == "hit"


def test_an_event_evicts_what_either_version_kept(organization_service: OrganizationService) -> None:
    ours = lookup.current()
    kept = ours.find(NASA, ANY).version
    with next_version() as theirs:
        theirs.cache.evict([Eviction(NASA, kept + 1)])
    assert ours.cache.read(NASA).state is State.MISS


def test_a_tag_of_the_version_before_is_not_confirmed(
    api: Client, license_url: str, organization_service: OrganizationService
) -> None:
    organization_service.put(NASA, country="US")
    tag = api.get(license_url)["ETag"]
    assert responses.representation() in tag
    assert api.get(license_url, headers={"if-none-match": tag}).status_code == 304
    with next_version():
        answer = api.get(license_url, headers={"if-none-match": tag})
        assert (answer.status_code, answer.json()["country"]) == (200, "US")
        assert answer["ETag"] != tag
        # And still it is no lost update: the license is the one that was read.
        patch = api.patch(license_url, {"comment": "x"}, content_type="application/json", headers={"if-match": tag})
    assert patch.status_code == 200
