"""No parameter of a query costs more than a bounded query of the database."""

import pytest
from django.test import Client

from organizations.models import Organization
from service_kit.searches import MAX_LENGTH, MAX_WORDS
from tests.query_parameters import check_every_parameter

pytestmark = pytest.mark.django_db(transaction=True)


def test_no_parameter_has_an_unbounded_cost(boss: Client) -> None:
    organization = Organization.objects.create(name="A")
    check_every_parameter(boss, {"organization_id": str(organization.pk)})


def test_a_search_may_have_many_words_and_not_too_many(boss: Client) -> None:
    words = " ".join(["a"] * MAX_WORDS)
    for search in (words, "a" * MAX_LENGTH):
        assert boss.get("/v1/organization", {"search": search}).status_code == 200
    for search in (f"{words} a", "a" * (MAX_LENGTH + 1)):
        answer = boss.get("/v1/organization", {"search": search})
        assert answer.status_code == 400
        assert answer.json()["errors"] == [
            {"field": "search", "message": "Search for 50 words at most, and 500 characters."}
        ]
