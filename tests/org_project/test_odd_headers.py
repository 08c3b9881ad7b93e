"""Headers that reach a codec, a parser or a number, at every URL."""

import uuid

import pytest

from organizations.models import Organization
from tests.security.odd_headers import check_every_url


@pytest.mark.django_db(transaction=True)
def test_no_url_has_a_header_that_breaks_it(organization: Organization) -> None:
    def fill(route: str, method: str) -> str:
        there = organization.pk if method != "DELETE" else uuid.uuid4()
        return route.replace("<any_case_uuid:organization_id>", str(there))

    check_every_url(fill)
