"""Servers that are away, and callers that come together."""

import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from django.test import Client

from event_stream import user_context
from event_stream.fenced_cache import FreshnessRequirement
from organization_lookup import lookup
from organization_lookup.client import UpstreamAuthError
from tests.licensing_project.organization_service import NASA, OrganizationService, reply


@pytest.mark.django_db
def test_without_redis_lookups_go_on_and_the_log_says_so_once(
    api: Client,
    license_url: str,
    tuned: Any,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}}
    tuned()
    with caplog.at_level(logging.WARNING):
        answers = [api.get(license_url) for _ in range(4)]
    assert [(each.status_code, each["Organization-Cache"]) for each in answers] == [(200, "bypass")] * 4
    assert answers[0].json()["organizationName"] == "NASA"
    assert [record.message for record in caplog.records] == ["cache.unreachable"]


@pytest.mark.django_db
def test_readiness_depends_on_no_other_server_than_the_database(api: Client, settings: Any) -> None:
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}}
    assert settings.ORGANIZATION_LOOKUP.base_url == "http://127.0.0.1:1"
    answer = api.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "UP")
    assert answer.json()["checks"] == {"database": "UP", "shared settings": "UNKNOWN", "freshness": "UNKNOWN"}


@pytest.mark.django_db
def test_a_dead_organization_service_is_asked_no_more_than_a_few_times(
    api: Client, license_url: str, organization_service: OrganizationService, tuned: Any
) -> None:
    tuned(circuit_failures=3, attempts=1)
    organization_service.behaviour = lambda handler: reply(handler, 500, b"")
    answers = [api.get(license_url) for _ in range(10)]
    assert {each.status_code for each in answers} == {503}
    assert len(organization_service.requests) == 3


def test_many_at_once_make_one_call(organization_service: OrganizationService) -> None:
    crowd, go_on = 50, threading.Event()
    begun = threading.Barrier(crowd + 1, timeout=20)

    def wait_for_all(handler: BaseHTTPRequestHandler) -> None:
        go_on.wait(20)
        organization_service.behaviour = None
        reply(handler, 404, b"", {"Organization-Version": "9"})

    def find(_: int) -> int:
        begun.wait()
        return lookup.current().find(NASA, FreshnessRequirement()).version

    organization_service.behaviour = wait_for_all
    with ThreadPoolExecutor(crowd) as pool:
        found = pool.map(find, range(crowd))
        begun.wait()
        go_on.set()
        assert set(found) == {9}
    assert len(organization_service.requests) == 1


def test_who_waited_for_somebody_elses_answer_is_not_refused_in_his_place(
    organization_service: OrganizationService,
) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def refuse_the_first(handler: BaseHTTPRequestHandler) -> None:
        if handler.headers["Authorization"] == "Bearer bad":
            asked.set()
            go_on.wait(20)
            reply(handler, 401, b"")
        else:
            reply(handler, 404, b"", {"Organization-Version": "9"})

    def find(authorization: str) -> int:
        with user_context.use(user_context.UserContext(authorization=authorization)):
            return lookup.current().find(NASA, FreshnessRequirement()).version

    organization_service.behaviour = refuse_the_first
    flights = lookup.current().read_through._flights
    joined = threading.Event()
    original = flights.join

    def join(key: str, work: Any) -> Any:
        if asked.is_set():
            joined.set()
            go_on.set()
        return original(key, work)

    flights.join = join  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        bad = pool.submit(find, "Bearer bad")
        assert asked.wait(20)
        good = pool.submit(find, "Bearer good")
        assert good.result(20) == 9
        with pytest.raises(UpstreamAuthError):
            bad.result(20)
    assert joined.is_set()


def test_the_lease_outlasts_the_budget(tuned: Any) -> None:
    tuned(budget_s=7.0)
    assert lookup.current().cache.settings.lease_ms > 7000


def test_threads_that_come_first_together_share_one_lookup(settings: Any) -> None:
    crowd = 20
    begun = threading.Barrier(crowd, timeout=20)

    def current(_: int) -> int:
        begun.wait()
        return id(lookup.current())

    lookup._made.cache_clear()
    with ThreadPoolExecutor(crowd) as pool:
        assert len(set(pool.map(current, range(crowd)))) == 1


def test_a_child_process_makes_its_own() -> None:
    parents = lookup.current()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"own" if lookup.current() is not parents else b"the parent's")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 20) == b"own"
    assert lookup.current() is parents
    os.close(reader)
    os.close(writer)
