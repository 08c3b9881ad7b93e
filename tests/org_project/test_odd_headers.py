"""Headers that reach a codec, a parser or a number, at every URL."""

import uuid
from collections.abc import Callable

import pytest

from organizations.models import Organization
from tests.security.odd_headers import check_cookies_that_are_no_sessions, check_every_refusal, check_every_url


@pytest.fixture
def fill(organization: Organization) -> Callable[[str, str], str]:
    def fill(route: str, method: str) -> str:
        there = organization.pk if method != "DELETE" else uuid.uuid4()
        return route.replace("<any_case_uuid:organization_id>", str(there))

    return fill


@pytest.mark.django_db(transaction=True)
def test_no_url_has_a_header_that_breaks_it(fill: Callable[[str, str], str]) -> None:
    check_every_url(fill)


@pytest.mark.django_db(transaction=True)
def test_every_url_refuses_with_a_problem(fill: Callable[[str, str], str]) -> None:
    check_every_refusal(fill)


@pytest.mark.django_db
def test_a_cookie_that_is_no_session_is_none(caplog: pytest.LogCaptureFixture) -> None:
    check_cookies_that_are_no_sessions(caplog)
