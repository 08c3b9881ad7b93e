"""A transaction that somebody has forgotten holds a row: what waits for it is told to come again."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.db.backends.signals import connection_created
from django.test import Client

from devstack.pgbouncer import PgBouncer, PgBouncerMissing
from event_stream.outbox.store import connect
from organizations.models import Organization
from service_kit import database
from service_kit.problem_details import problem_of
from tests.org_project.conftest import url_of

JSON = "application/json"


@pytest.fixture
def web_process(settings: Any, transactional_db: None) -> Iterator[None]:
    """As wsgi.py makes it, with less patience."""
    settings.DATABASE_LOCK_TIMEOUT_S = settings.DATABASE_STATEMENT_TIMEOUT_S = 0.3
    database.bound_waits()
    connection.close()
    yield
    connection_created.disconnect(dispatch_uid="service_kit.database.timeouts")
    connection.close()


@pytest.fixture
def held(organization: Organization) -> Iterator[Organization]:
    with closing(connect("default")) as other, other.transaction():
        other.execute("UPDATE organizations_organization SET name = 'held' WHERE id = %s", [organization.pk])
        yield organization


@pytest.mark.usefixtures("web_process")
def test_a_held_row_is_a_503_of_its_own_type(
    settings: Any, api: Client, held: Organization, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DATABASE_STATEMENT_TIMEOUT_S = 20
    connection.close()
    answers = [
        api.patch(url_of(held), {"name": "New"}, content_type=JSON),
        api.put(url_of(held), {"name": "New"}, content_type=JSON),
        api.delete(url_of(held)),
    ]

    for answer in answers:
        assert (answer.status_code, answer["Retry-After"]) == (503, "1")
        assert answer["Content-Type"] == "application/problem+json"
        assert answer.json()["type"] == "/problems/busy"
    assert api.get(url_of(held)).status_code == 200
    assert api.post("/v1/organization", {"name": "Another"}, content_type=JSON).status_code == 201
    refused = [record for record in caplog.records if record.message == "request.refused"]
    assert [bool(record.exc_info) for record in refused] == [False] * 3


@pytest.mark.usefixtures("web_process")
def test_a_long_statement_is_a_503_of_its_own_type() -> None:
    with pytest.raises(OperationalError) as raised, connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(30)")

    problem = problem_of(raised.value)
    assert problem is not None
    assert (problem.status_code, problem.type, problem.headers) == (503, "/problems/busy", {"Retry-After": "5"})


def test_a_command_may_wait_for_longer(transactional_db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)


@pytest.mark.usefixtures("web_process")
def test_a_session_that_a_pooler_shares_is_left_as_it_is(database_url: str, tmp_path: Path) -> None:
    try:
        pooler = PgBouncer(tmp_path / "pgbouncer", lambda: database_url)
    except PgBouncerMissing as missing:
        pytest.skip(str(missing))
    connection.ensure_connection()
    settings_of = "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
    with pooler:
        pooled = connections.create_connection("default")
        pooled.settings_dict = {**connection.settings_dict, "HOST": "127.0.0.1", "PORT": pooler.port}
        with closing(pooled), pooled.cursor() as cursor:
            cursor.execute(settings_of)
            assert cursor.fetchone() == ("0", "0")
    with connection.cursor() as cursor:
        cursor.execute(settings_of)
        assert cursor.fetchone() == ("300ms", "300ms")
