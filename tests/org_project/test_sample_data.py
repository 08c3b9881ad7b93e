"""`manage.py load_sample_data`."""

import io
import uuid
from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command

from organizations import sample_data
from organizations.models import Organization
from tests.org_project.conftest import Told

Tell = Callable[[], list[Told]]

KNOWN_TO_LICENSING = ("nasa", "esa", "jaxa", "mit", "kaist", "ietf", "w3c", "iso", "cern", "snu")


def load(*options: str) -> str:
    out = io.StringIO()
    call_command("load_sample_data", *options, stdout=out)
    return out.getvalue()


def test_loading_twice_adds_nothing_and_keeps_what_was_changed(told: Tell) -> None:
    load("--generate", "5")
    count = Organization.objects.count()
    assert count >= 30
    events = told()
    assert len(events) == count
    assert {(event.action, event.by_trigger) for event in events} == {("CREATED", False)}
    Organization.objects.filter(pk=sample_data.sample_id("nasa")).update(name="Changed")
    told()
    assert load("--generate", "5").startswith("0 ")
    assert told() == []
    assert Organization.objects.filter(name="Changed").exists()


def test_the_ids_are_those_licensing_refers_to(told: Tell) -> None:
    load()
    ids = {uuid.uuid5(uuid.NAMESPACE_URL, f"https://example.org/organizations/{slug}") for slug in KNOWN_TO_LICENSING}
    assert Organization.objects.filter(pk__in=ids).count() == len(KNOWN_TO_LICENSING)


def test_samples_are_valid_and_name_nobody() -> None:
    for each in [*sample_data.real(), *sample_data.generated(50, seed=3)]:
        each.clean_fields(exclude=["version"])
        assert each.contact_email.endswith("@example.org")


def test_generated_ones_follow_from_the_seed() -> None:
    first = [(each.pk, each.name) for each in sample_data.generated(20, seed=1)]
    assert first[:10] == [(each.pk, each.name) for each in sample_data.generated(10, seed=1)]
    assert not {pk for pk, _ in first} & {each.pk for each in sample_data.generated(20, seed=2)}


@pytest.mark.parametrize("count", ["-1", "many"])
def test_what_is_no_count(count: str) -> None:
    with pytest.raises(CommandError, match="whole number"):
        load(f"--generate={count}")
