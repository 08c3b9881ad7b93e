"""What the end-to-end tests do and see from outside: HTTP, SQL, the topic, the workers' logs."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
from psycopg.rows import class_row

from devstack import json_log
from devstack.cluster import ServiceCluster
from devstack.json_log import Entry
from devstack.process import SupervisedProcess
from devstack.waiting import wait_until
from event_stream.conf import BinderSettings
from event_stream.messaging.binder import Binder, Capabilities
from event_stream.messaging.channel import make_binder
from event_stream.messaging.message import ConsumerRecord
from event_stream.user_context import CORRELATION_ID

DEADLINE_S = 30.0
"""For anything that has to happen by itself. Far longer than it takes, so that a busy machine fails nothing."""

ORGANIZATION = {
    "name": "Acme",
    "contactName": "Ann",
    "contactEmail": "ann@example.org",
    "contactPhone": "+1 555 0100",
}
LICENSE = {"productName": "Ostock", "licenseType": "full"}


@dataclass(frozen=True, slots=True)
class Customer:
    """An organization's id, and the path of one of its licenses."""

    id: str
    license: str

    @property
    def path(self) -> str:
        """In the organization service."""
        return f"/v1/organization/{self.id}"


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a license was answered with. `contact` is None for an organization that isn't there."""

    cache: str
    version: int
    contact: str | None
    absent: bool
    headers: httpx.Headers


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the outbox."""

    key: str
    correlation_id: str
    version: int
    payload: dict[str, Any]
    by_trigger: bool
    published: bool
    partition: int | None
    offset: int | None


class Watch:
    """What any of these processes logs from now on; or since its last start, with `from_start`."""

    def __init__(self, processes: Sequence[SupervisedProcess], *, from_start: bool = False) -> None:
        self._from = {each.log: each.log_start if from_start else _size(each.log) for each in processes}

    def seen(self, event: str, **values: Any) -> list[Entry]:
        """Each line with that event and these values so far."""
        wanted = {"event": event, **values}
        entries = (entry for log, start in self._from.items() for entry in json_log.entries(log, start))
        return [entry for entry in entries if wanted.items() <= entry.items()]

    def wait(self, event: str, **values: Any) -> Entry:
        """The first such line."""
        assert wait_until(lambda: bool(self.seen(event, **values)), within_s=DEADLINE_S), f"no {event} with {values}"
        return self.seen(event, **values)[0]

    def eviction(self, organization_id: str, correlation_id: str | None = None) -> Entry:
        """The line that says that this was evicted; from whichever worker has its partition."""
        found: list[Entry] = []

        def look() -> bool:
            found[:] = [
                entry
                for entry in self.seen("eviction.applied")
                if organization_id in entry["ids"]
                and (correlation_id is None or correlation_id in entry["correlation_ids"])
            ]
            return bool(found)

        assert wait_until(look, within_s=DEADLINE_S), f"no eviction of {organization_id} by {correlation_id} was logged"
        return found[0]


class World:
    """A running platform, and hands and eyes on it."""

    def __init__(self, platform: ServiceCluster) -> None:
        self.platform = platform
        self.http = httpx.Client(timeout=20, headers=platform.authorization("ADMIN"))
        self._tail = platform.servers.broker.tail(platform.topic)
        self._records: dict[tuple[int, int], ConsumerRecord] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()
        self._tail.close()

    # The organization service.

    def organization(self, method: str, path: str, *, status: int, **request: Any) -> httpx.Response:
        answer = self.http.request(method, self.platform.organization_url + path, **request)
        assert answer.status_code == status, answer.text
        return answer

    def customer(self) -> Customer:
        """A new one. The event of its creation has been applied, so that it evicts nothing later."""
        watch = self.watch_workers()
        created = self.organization("POST", "/v1/organization", json=ORGANIZATION, status=201)
        organization_id = created.json()["id"]
        watch.eviction(organization_id, created.headers[CORRELATION_ID])
        return self.licensed(organization_id)

    def change(self, customer: Customer, contact: str, *, correlation_id: str | None = None) -> httpx.Response:
        headers = {} if correlation_id is None else {CORRELATION_ID: correlation_id}
        return self.organization("PATCH", customer.path, json={"contactName": contact}, headers=headers, status=200)

    def remove(self, customer: Customer) -> None:
        watch = self.watch_workers()
        deleted = self.organization("DELETE", customer.path, status=204)
        watch.eviction(customer.id, deleted.headers[CORRELATION_ID])

    def events(self, organization_id: str) -> list[Event]:
        """All that were written for this organization."""
        return self._events("key = %s", organization_id)

    def event(self, organization_id: str) -> Event:
        """The last of them."""
        return self.events(organization_id)[-1]

    def event_of(self, correlation_id: str) -> Event:
        """The only one of this transaction."""
        [event] = self._events("correlation_id = %s", correlation_id)
        return event

    def published(self, organization_id: str) -> Event:
        """The same as `event`, once it has been acknowledged."""
        assert wait_until(lambda: self.event(organization_id).published, within_s=DEADLINE_S)
        return self.event(organization_id)

    def organization_sql(self, statement: str, *values: Any) -> None:
        with psycopg.connect(self.platform.organization_settings["DATABASE_URL"]) as connection:
            connection.execute(statement, values)

    def binder(self) -> Binder:
        """A binder of our own to where the services' messages are."""
        properties = dict(self.platform.servers.broker.properties)
        return make_binder(BinderSettings("own", properties.pop("type"), properties))

    @property
    def capabilities(self) -> Capabilities:
        """What the platform can do that carries the messages."""
        return self.binder().capabilities

    def _events(self, where: str, value: str) -> list[Event]:
        statement = f"""
            SELECT key, correlation_id, version, payload, by_trigger, published_at IS NOT NULL AS published,
                partition, "offset"
            FROM event_stream_outbox WHERE {where} ORDER BY id
        """
        with psycopg.connect(
            self.platform.organization_settings["DATABASE_URL"], row_factory=class_row(Event)
        ) as connection:
            return connection.execute(statement, [value]).fetchall()

    # The licensing service.

    def licensed(self, organization_id: str) -> Customer:
        path = f"/v1/organization/{organization_id}/license"
        answer = self.http.post(self.platform.licensing_urls[0] + path, json=LICENSE)
        assert answer.status_code == 201, answer.text
        return Customer(organization_id, f"{path}/{answer.json()['licenseId']}")

    def ask(self, customer: Customer, instance: int, **headers: str) -> httpx.Response:
        return self.http.get(self.platform.licensing_urls[instance] + customer.license, headers=headers)

    def lookup(self, customer: Customer, instance: int) -> Lookup:
        answer = self.ask(customer, instance)
        assert answer.status_code == 200, answer.text
        return Lookup(
            answer.headers["Organization-Cache"],
            int(answer.headers["Organization-Version"]),
            answer.json()["contactName"],
            answer.headers.get("Organization-Absent") == "?1",
            answer.headers,
        )

    def lookups(self, customer: Customer) -> list[Lookup]:
        """One from each licensing service."""
        return [self.lookup(customer, instance) for instance in range(len(self.platform.licensing_urls))]

    def cached(self, customer: Customer) -> list[Lookup]:
        """The same, once the cache has it: a hit from each."""
        self.lookup(customer, 0)
        lookups = self.lookups(customer)
        assert {each.cache for each in lookups} == {"hit"}
        return lookups

    # Workers and topic.

    def watch_workers(self) -> Watch:
        return Watch(self.platform.workers)

    def record(self, event: Event) -> ConsumerRecord:
        """A published event as it lies on the topic."""
        assert event.partition is not None
        assert event.offset is not None
        at = (event.partition, event.offset)

        def look() -> bool:
            self._records |= {(each.partition, each.offset): each for each in self._tail.poll(0.2)}
            return at in self._records

        assert wait_until(look, within_s=DEADLINE_S), f"no record at {at}"
        return self._records[at]


def fresh(what: str) -> str:
    """A text that no other test has: a correlation id, a contact's name."""
    return f"{what}-{uuid.uuid4().hex}"


def own_databases(whose: str, binder: str) -> tuple[str, str]:
    """For `ServiceCluster`: the same tests run once on each binder, with the same PostgreSQL."""
    return f"{whose}_organization_{binder}", f"{whose}_licensing_{binder}"


def redis_database(url: str, number: int) -> str:
    """The same server's database of that number."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{number}"))


def header_texts(record: ConsumerRecord) -> dict[str, str]:
    """The headers of a record as Spring Cloud Stream writes them, each a JSON text."""
    return {name: json.loads(value) for name, value in record.headers if name != "spring_json_header_types"}


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0
