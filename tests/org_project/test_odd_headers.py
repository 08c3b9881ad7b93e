"""Headers that reach a codec, a parser or a number, at every URL."""

import uuid

import pytest

from organizations.models import Organization
from tests.security.odd_headers import check_cookies_that_are_no_sessions, check_every_url


@pytest.mark.django_db(transaction=True)
def test_no_url_has_a_header_that_breaks_it(organization: Organization) -> None:
    def fill(route: str, method: str) -> str:
        there = organization.pk if method != "DELETE" else uuid.uuid4()
        return route.replace("<any_case_uuid:organization_id>", str(there))

    check_every_url(fill)


@pytest.mark.django_db
def test_a_cookie_that_is_no_session_is_none(caplog: pytest.LogCaptureFixture) -> None:
    check_cookies_that_are_no_sessions(caplog)
