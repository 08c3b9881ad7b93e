"""Several at once, on real connections: no lost update, no event too many, no absence newer than a creation."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client

from organizations import querysets
from organizations.models import Organization
from tests.org_project.conftest import Told, url_of

JSON = "application/json"
THREADS = 4

Tell = Callable[[], list[Told]]


def at_once(work: Callable[[int], Any], count: int = THREADS) -> list[Any]:
    """What `work(0)`, `work(1)`, … return, each in a thread and on a connection of its own, begun together."""
    together = threading.Barrier(count)

    def one(number: int) -> Any:
        try:
            together.wait(timeout=30)
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@contextmanager
def uncommitted(write: Callable[[], Any]) -> Iterator[None]:
    """Meanwhile another connection has written, and commits at the end."""
    written, commit = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                write()
                written.set()
                assert commit.wait(timeout=30)
        finally:
            written.set()
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        assert written.wait(timeout=30)
        try:
            yield
        finally:
            commit.set()
            held.result()


@pytest.mark.parametrize("round_", range(5))
def test_of_several_writers_with_the_same_tag_one_wins(organization: Organization, told: Tell, round_: int) -> None:
    headers = {"If-Match": f'"{organization.version}"'}

    def write(number: int) -> int:
        body = {"name": f"Writer {number}"}
        return Client().put(url_of(organization), body, content_type=JSON, headers=headers).status_code

    assert sorted(at_once(write)) == [200] + [412] * (THREADS - 1)
    assert len(told()) == 1


def test_no_update_is_lost_that_was_made_with_if_match(organization: Organization, told: Tell) -> None:
    """Each writer adds one to a number, and starts over when it was too late."""
    Organization.objects.update(contact_phone="100")
    told()

    def add(_number: int) -> None:
        client, added = Client(), 0
        while added < 5:
            read = client.get(url_of(organization))
            body = {"contactPhone": str(int(read.json()["contactPhone"]) + 1)}
            headers = {"If-Match": read.headers["ETag"]}
            written = client.patch(url_of(organization), body, content_type=JSON, headers=headers)
            assert written.status_code in {200, 412}
            added += written.status_code == 200

    at_once(add)
    organization.refresh_from_db()
    assert organization.contact_phone == str(100 + 5 * THREADS)
    versions = [event.version for event in told()]
    assert len(versions) == 5 * THREADS
    assert len(set(versions)) == len(versions)
    assert max(version or 0 for version in versions) == organization.version


def test_one_of_several_deletes_it(organization: Organization, told: Tell) -> None:
    answers = at_once(lambda _number: Client().delete(url_of(organization)).status_code)
    assert sorted(answers) == [204] + [404] * (THREADS - 1)
    assert [event.action for event in told()] == ["DELETED"]


@pytest.mark.parametrize("write", [lambda it: it.delete(), lambda it: Organization.objects.filter(pk=it.pk).delete()])
def test_one_of_several_deletes_it_by_the_orm(
    organization: Organization, told: Tell, write: Callable[[Any], Any]
) -> None:
    pk = organization.pk
    at_once(lambda _number: write(Organization(pk=pk, version=organization.version)))
    assert [event.action for event in told()] == ["DELETED"]


def test_a_creation_by_several_is_told_once(told: Tell) -> None:
    made = [Organization(name=f"N{number}").pk for number in range(50)]

    def create(_number: int) -> None:
        Organization.objects.bulk_create([Organization(pk=pk, name="A") for pk in made], ignore_conflicts=True)

    at_once(create)
    events = told()
    assert sorted(event.key for event in events) == sorted(map(str, made))
    assert not any(event.by_trigger for event in events)


def test_bulk_writes_do_not_deadlock(told: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(querysets, "CHUNK", 7)
    Organization.objects.bulk_create([Organization(name=f"N{number}") for number in range(40)])
    told()

    def write(number: int) -> int:
        order = "name" if number % 2 else "-name"
        return sum(Organization.objects.order_by(order).update(contact_name=f"{number} {time}") for time in range(3))

    assert at_once(write) == [120] * THREADS
    assert len(told()) == 120 * THREADS


def test_an_absence_is_older_than_a_creation_under_way(api: Client, told: Tell) -> None:
    """Whoever keeps "absent" under its version must take the creation's event for news."""
    made = Organization(name="A")
    with uncommitted(made.save):
        absent = api.get(url_of(made))
    assert absent.status_code == 404
    [creation] = told()
    assert int(absent.headers["Organization-Version"]) < (creation.version or 0)


def test_an_absence_has_the_version_of_the_deletion(organization: Organization, api: Client) -> None:
    url = url_of(organization)
    deleted = api.delete(url).headers["Organization-Version"]
    assert api.get(url).headers["Organization-Version"] == deleted
    again = Organization(pk=organization.pk, name="Again")
    with uncommitted(again.save):
        assert api.get(url).headers["Organization-Version"] == deleted
    found = api.get(url)
    assert found.status_code == 200
    assert int(found.headers["Organization-Version"]) > int(deleted)


def test_an_absence_that_the_outbox_has_forgotten_is_not_older_than_what_was(
    organization: Organization, api: Client, told: Tell, settings: Any
) -> None:
    deleted = int(api.delete(url_of(organization)).headers["Organization-Version"])
    told()  # empties the outbox, as its purge does after the retention
    settings.EVENT_STREAM_OUTBOX = {"retention_hours": 1e-9}
    assert int(api.get(url_of(organization)).headers["Organization-Version"]) >= deleted


def test_a_reader_does_not_wait_for_a_writer(organization: Organization, api: Client) -> None:
    with uncommitted(lambda: Organization.objects.update(name="Not yet")):
        assert api.get(url_of(organization)).json()["name"] == "Observatory"
    assert api.get(url_of(organization)).json()["name"] == "Not yet"
