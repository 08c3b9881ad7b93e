"""A lookup with a cached organization: one Redis round trip, one statement, and bytes that are not taken apart."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_redis import get_redis_connection

from licenses import selectors
from licenses.api.responses import render_fast
from licenses.api.serializers import LicenseSerializer
from licenses.models import License
from organization_lookup import lookup, organization
from tests.licensing_project.organization_service import NASA, OrganizationService


@pytest.fixture
def redis_commands() -> Iterator[Any]:
    """Every command the server is given from here on, by this client."""
    redis = get_redis_connection()
    with redis.monitor() as monitor:
        seen: list[str] = []
        done = threading.Event()

        def watch() -> None:
            for command in monitor.listen():
                if command["command"] == "ECHO the-end":
                    done.set()
                    return
                seen.append(command["command"])

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()

        def commands() -> list[str]:
            redis.echo("the-end")
            assert done.wait(10)
            watcher.join(10)
            return seen

        yield commands


@pytest.mark.django_db
def test_one_mget_and_one_statement(
    api: Client, license_url: str, organization_service: OrganizationService, redis_commands: Any
) -> None:
    api.get(license_url)
    marker = f"begin {license_url}"
    get_redis_connection().echo(marker)
    with CaptureQueriesContext(connection) as queries:
        assert api.get(license_url)["Organization-Cache"] == "hit"
    commands = redis_commands()
    ours = commands[commands.index(f"ECHO {marker}") + 1 :]
    assert [command.split()[0] for command in ours if lookup.current().cache.keys.namespace in command] == ["MGET"]
    assert len(queries) == 1
    assert queries[0]["sql"].lstrip().startswith("SELECT description, ")


@pytest.mark.django_db
def test_the_statement_uses_the_primary_key(license: License) -> None:
    License.objects.bulk_create(License(organization_id=NASA, product_name="P", license_type="T") for _ in range(2000))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE licenses_license")
        cursor.execute(f"EXPLAIN {selectors._ROW}", (license.license_id, license.organization_id))
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "licenses_license_pkey" in plan


@pytest.mark.django_db
@pytest.mark.parametrize("known", [True, False])
def test_the_spliced_bytes_are_those_of_the_long_way(license: License, known: bool) -> None:
    fields = {"name": "한국\N{ROCKET}\u2028</script>", "contactName": "", "contactEmail": "\\", "contactPhone": None}
    members = organization.members(fields) if known else None
    row = selectors.read_license(organization_id=license.organization_id, license_id=license.license_id)
    assert row is not None
    for each in (row, license):
        serializer = LicenseSerializer(each, context={"organization": organization.fields(members)})
        assert json.loads(render_fast(row, members)) == dict(serializer.data)
        assert list(json.loads(render_fast(row, members))) == list(serializer.data)


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_has_died_costs_no_read(license: License) -> None:
    ids = {"organization_id": license.organization_id, "license_id": license.license_id}
    before = selectors.read_license(**ids)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (old,) = cursor.fetchone() or (0,)
    _kill(old)
    assert selectors.read_license(**ids) == before
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone() != (old,)


@pytest.mark.django_db(transaction=True)
def test_an_error_on_a_living_connection_is_not_repeated() -> None:
    calls: list[int] = []

    @selectors.repeatable
    def fail() -> None:
        calls.append(1)
        raise OperationalError("statement timeout")

    with pytest.raises(OperationalError):
        fail()
    assert calls == [1]


@pytest.mark.django_db(transaction=True)
def test_a_column_that_gets_another_type_costs_no_read(license: License) -> None:
    ids = {"organization_id": license.organization_id, "license_id": license.license_id}
    before = [selectors.read_license(**ids) for _ in range(10)][-1]
    with _another_connection() as other:
        other.execute("ALTER TABLE licenses_license ALTER license_type TYPE varchar(150)")
        try:
            assert selectors.read_license(**ids) == before
        finally:
            other.execute("ALTER TABLE licenses_license ALTER license_type TYPE varchar(100)")
    assert selectors.read_license(**ids) == before


def _kill(backend: int) -> None:
    """As a restart of the server would: from another connection, and seen to be gone."""
    with _another_connection() as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", (backend,))


def _another_connection() -> psycopg.Connection:
    parameters = connection.get_connection_params()
    wanted = {name: parameters[name] for name in ("host", "port", "user", "password", "dbname") if parameters.get(name)}
    return psycopg.connect(**wanted, autocommit=True)
