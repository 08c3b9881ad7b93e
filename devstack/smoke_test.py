"""The main job, done once and watched: a lookup, a change, its event, the eviction, the lookup that has the new data.

Nothing here is told from memory: each line is printed once its effect was observed, and a step that isn't observed
within its deadline ends the job with a sentence that says which one.
"""

import json
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg

from devstack import json_log
from devstack.brokers import Tail
from devstack.cluster import ServiceCluster
from devstack.console import Console
from devstack.errors import StepNotSeenError
from event_stream.messaging.message import ConsumerRecord

_DEADLINE_S = 20.0
_CACHE_HEADER = "Organization-Cache"
# Two people to take turns, so that every run has something to change.
_CONTACTS = (("Ada Lovelace", "ada.lovelace@example.org"), ("Grace Hopper", "grace.hopper@example.org"))

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lookup:
    """The response to a request for a license. `cache`: hit, miss, … as the service's header says."""

    cache: str
    took_ms: float
    contact: str


@dataclass(frozen=True, slots=True)
class Event:
    """A message as it lies in the log."""

    partition: int
    offset: int
    body: Json


class SmokeTest:
    """Does it on a running platform; `do` returns when every step was seen, else raises `StepNotSeenError`."""

    def __init__(self, platform: ServiceCluster, console: Console) -> None:
        self._platform = platform
        self._console = console
        self._http = httpx.Client(
            timeout=10,
            headers={"Accept": "application/json", **platform.authorization("USER", sub="main-job")},
            # No proxy of the environment leads to 127.0.0.1.
            trust_env=False,
        )

    def do(self) -> str:
        """Returns the id of the organization that was looked up and changed."""
        with self._http:
            organization_id, license_id = self._choose()
            path = f"/v1/organization/{organization_id}"
            self._console.fact("organization", self._platform.organization_url + path)
            self._console.fact("one of its licenses", f"{self._platform.licensing_urls[0]}{path}/license/{license_id}")
            first = self._look_up(organization_id, license_id, "lookup")
            if first.cache != "miss":
                self._console.line("  It was cached already: the data of an earlier run was kept. A change evicts it.")
                self._change_and_watch(organization_id)
                first = self._look_up(organization_id, license_id, "lookup")
            _require(first.cache == "miss", f"the first lookup was to be a miss and was a {first.cache}")
            second = self._look_up(organization_id, license_id, "lookup again")
            _require(second.cache == "hit", f"the second lookup was to be a hit and was a {second.cache}")
            contact = self._change_and_watch(organization_id)
            third = self._look_up(organization_id, license_id, "lookup after it")
            _require(third.contact == contact, f"the lookup after the change still shows {third.contact}")
            _require(third.cache != "hit", "the lookup after the eviction was a hit")
            return organization_id

    def _choose(self) -> tuple[str, str]:
        """Any license and its organization, read from the database: asking the service for it would fill the cache."""
        with psycopg.connect(self._platform.licensing_settings["DATABASE_URL"]) as connection:
            found = connection.execute("SELECT organization_id, license_id FROM licenses_license ORDER BY random()")
            for organization_id, license_id in found:
                answer = self._http.get(f"{self._platform.organization_url}/v1/organization/{organization_id}")
                if answer.status_code == httpx.codes.OK:
                    return str(organization_id), str(license_id)
        raise StepNotSeenError("No organization of the sample data has a license: the main job has nothing to look up.")

    def _look_up(self, organization_id: str, license_id: str, label: str) -> Lookup:
        path = f"/v1/organization/{organization_id}/license/{license_id}"
        started = time.perf_counter()
        answer = self._http.get(self._platform.licensing_urls[0] + path)
        took_ms = (time.perf_counter() - started) * 1000
        _require(answer.status_code == httpx.codes.OK, f"GET {path} was answered {answer.status_code}: {answer.text}")
        cache = answer.headers.get(_CACHE_HEADER, "(no header)").split(";")[0]
        lookup = Lookup(cache, took_ms, answer.json()["contactName"])
        self._console.fact(label, f"{took_ms:5.1f} ms  contact {lookup.contact}", lookup.cache)
        return lookup

    def _change_and_watch(self, organization_id: str) -> str:
        """Change the contact and see event and eviction; returns the new contact's name."""
        correlation_id = f"run-{uuid.uuid4().hex[:12]}"
        [worker] = self._platform.workers
        log_start = worker.log.stat().st_size
        with closing(self._platform.servers.broker.tail(self._platform.topic)) as tail:
            contact = self._change(organization_id, correlation_id)
            event = _await_event(tail, correlation_id)
        body = event.body
        _require(body["organizationId"] == organization_id, f"the event names organization {body['organizationId']}")
        self._console.fact(
            "event",
            f"{self._platform.topic} partition {event.partition} offset {event.offset}  {body['action']}  "
            f"version {body['version']}  correlation id {body['correlationId']}",
        )
        eviction = json_log.wait_for_entry(
            worker.log, lambda entry: _is_eviction(entry, event), start=log_start, within_s=_DEADLINE_S
        )
        if eviction is None:
            raise StepNotSeenError(
                f"The eviction for partition {event.partition}, offset {event.offset} was not logged by the worker "
                f"within {_DEADLINE_S:.0f} s; its log ends:\n{worker.log_tail()}"
            )
        self._console.fact(
            "eviction",
            f"{float(eviction['lag_ms']):5.1f} ms after the change  correlation id {event.body['correlationId']}",
        )
        return contact

    def _change(self, organization_id: str, correlation_id: str) -> str:
        path = f"/v1/organization/{organization_id}"
        url = self._platform.organization_url + path
        current = self._http.get(url)
        _require(current.status_code == httpx.codes.OK, f"GET {path} was answered {current.status_code}")
        organization = current.json()
        name, email = next(pair for pair in _CONTACTS if pair[0] != organization["contactName"])
        answer = self._http.put(
            url,
            json=organization | {"contactName": name, "contactEmail": email},
            headers={"tmx-correlation-id": correlation_id, "If-Match": current.headers["ETag"]},
        )
        _require(answer.status_code == httpx.codes.OK, f"PUT {path} was answered {answer.status_code}: {answer.text}")
        _require(answer.json()["contactName"] == name, f"PUT {path} did not change the contact")
        self._console.fact("change", f"contact {organization['contactName']} -> {name}")
        return name


def _await_event(tail: Tail, correlation_id: str) -> Event:
    deadline = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline:
        for event in _events(tail.poll(0.2)):
            if event.body.get("correlationId") == correlation_id:
                return event
    raise StepNotSeenError(f"The event of the change did not appear on the topic within {_DEADLINE_S:.0f} s.")


def _events(records: Iterable[ConsumerRecord]) -> Iterator[Event]:
    for record in records:
        if record.value is not None:
            yield Event(record.partition, record.offset, json.loads(record.value))


def _is_eviction(entry: json_log.Entry, event: Event) -> bool:
    """Whether this line of the worker is about a batch that this event was in."""
    return (
        entry.get("event") == "eviction.applied"
        and entry["partition"] == event.partition
        and entry["first_offset"] <= event.offset <= entry["last_offset"]
        and event.body["organizationId"] in entry["ids"]
        and event.body["correlationId"] in entry["correlation_ids"]
    )


def _require(seen: bool, otherwise: str) -> None:
    if not seen:
        raise StepNotSeenError(f"The main job stopped: {otherwise}.")
