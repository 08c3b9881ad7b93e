"""What a write asks the database: few statements, and none to see whether the connection is alive."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from event_stream.outbox.store import Connection, connect
from organizations.models import Organization
from tests.org_project.conftest import url_of

pytestmark = pytest.mark.django_db(transaction=True)
JSON = "application/json"


@pytest.fixture
def other() -> Iterator[Connection]:
    with closing(connect("default")) as other:
        yield other


def begin_request() -> int:
    """What Django does at the start of a request, and the test client does not; returns the session's process id."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (session,) = cursor.fetchone()
    connection.close_if_unusable_or_obsolete()
    return int(session)


def test_a_put_is_one_update_and_its_event(api: Client, organization: Organization) -> None:
    begin_request()
    with CaptureQueriesContext(connection) as queries:
        assert api.put(url_of(organization), {"name": "Renamed"}, content_type=JSON).status_code == 200
    assert [query["sql"].split()[0] for query in queries] == ["BEGIN", "UPDATE", "INSERT", "COMMIT"]


@pytest.mark.parametrize(("method", "status"), [("get", 200), ("put", 200), ("patch", 200), ("delete", 204)], ids=str)
def test_a_session_that_the_server_has_ended_fails_no_request(
    api: Client, organization: Organization, other: Connection, method: str, status: int
) -> None:
    session = begin_request()
    other.execute("SELECT pg_terminate_backend(%s, 10000)", [session])
    answer = getattr(api, method)(url_of(organization), {"name": "Renamed"}, content_type=JSON)
    assert answer.status_code == status
    assert begin_request() != session


def test_a_session_that_the_server_has_told_something_goes_on(api: Client, organization: Organization) -> None:
    session = begin_request()
    with connection.cursor() as cursor:
        # Its own notifications come unasked for, with the answer of a later statement at the latest.
        cursor.execute("LISTEN something")
    with closing(connect("default")) as other:
        other.execute("NOTIFY something")
    assert api.put(url_of(organization), {"name": "Renamed"}, content_type=JSON).status_code == 200
    assert begin_request() == session
