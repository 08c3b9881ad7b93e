"""The plugin's `assert_emits` on a real outbox: a write that no event tells of fails the test, by whatever path."""

import pytest
from django.db import connection, models

from organizations.events import BINDING
from organizations.models import Organization
from pytest_event_stream.emissions import AssertEmits

pytestmark = pytest.mark.django_db


def test_each_way_of_writing_has_its_events(assert_emits: AssertEmits) -> None:
    there = Organization.objects.create(name="A")
    with assert_emits(BINDING, of=Organization) as emitted:
        Organization.objects.bulk_create([Organization(name="B"), Organization(name="C")])
        Organization.objects.filter(name="C").update(name="D")
        there.delete()
    assert sorted(message.payload["action"] for message in emitted) == ["CREATED", "CREATED", "DELETED", "UPDATED"]


def test_an_update_that_goes_round_the_queryset_is_found(assert_emits: AssertEmits) -> None:
    organization = Organization.objects.create(name="A")
    silent: models.QuerySet[Organization] = models.QuerySet(Organization)
    with (
        pytest.raises(AssertionError, match=f"were written without a message: {organization.pk}"),
        assert_emits(BINDING, of=Organization),
    ):
        silent.filter(pk=organization.pk).update(name="B")


def test_sql_is_found(assert_emits: AssertEmits) -> None:
    Organization.objects.create(name="A")
    with (
        pytest.raises(AssertionError, match="were written without"),
        assert_emits(BINDING, of=Organization),
        connection.cursor() as cursor,
    ):
        cursor.execute("UPDATE organizations_organization SET name = 'B'")


def test_the_events_that_were_there_before_do_not_count(assert_emits: AssertEmits) -> None:
    organization = Organization.objects.create(name="A")
    with assert_emits(BINDING, of=Organization, payload={"action": "UPDATED"}, count=1):
        organization.name = "B"
        organization.save()
