"""Why a lookup is answered 503: the problem's type says it to the caller, and one line for each cause to the log."""

import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from event_stream import user_context
from event_stream.clock import SystemClock
from event_stream.fenced_cache import Deadline, Fetched
from event_stream.user_context import UserContext
from organization_lookup import lookup
from organization_lookup.client import (
    CAUSES,
    BulkheadFull,
    OrganizationLookupError,
    ServiceTokenError,
    UpstreamAuthError,
    UpstreamError,
)
from organization_lookup.resilient_client import Circuit, ResilientClient, outage_log
from service_kit.logging import EventJsonFormatter
from tests.event_stream.cache_world import FakeClock
from tests.licensing_project.organization_service import NASA, OrganizationService, answering, reply

LOGGER = "organization_lookup.resilient_client"
EVENTS = {"organization_lookup.failing", "organization_lookup.recovered"}


@contextmanager
def logged() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The lines of causes, as the service writes them."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(EventJsonFormatter())
    logger = logging.getLogger(LOGGER)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lambda: [line for text in stream.getvalue().splitlines() if (line := json.loads(text))["event"] in EVENTS]
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def problems(api: Client, url: str, count: int, **headers: str) -> list[dict[str, Any]]:
    answers = [api.get(url, headers={"tmx-correlation-id": f"request-{n}", **headers}) for n in range(count)]
    assert {each.status_code for each in answers} == {503}
    assert all(int(each["Retry-After"]) >= 1 for each in answers)
    return [each.json() for each in answers]


def types(found: list[dict[str, Any]]) -> list[str]:
    return [each["type"] for each in found]


@pytest.mark.django_db
def test_an_outage_and_its_open_circuit_are_a_line_each(
    api: Client, license_url: str, organization_service: OrganizationService, tuned: Any
) -> None:
    tuned(circuit_failures=3, attempts=1, circuit_reset_s=60)
    organization_service.behaviour = answering(500)
    with logged() as lines:
        found = problems(api, license_url, 10)
        assert types(found) == (
            ["/problems/organization-service-unavailable"] * 3 + ["/problems/organization-service-circuit-open"] * 7
        )
        assert [(line["cause"], line["correlation_id"], line["level"]) for line in lines()] == [
            ("organization-service-unavailable", "request-0", "WARNING"),
            ("organization-service-circuit-open", "request-3", "WARNING"),
        ]
        assert [line["error"] for line in lines()] == [
            "status 500",
            "it has failed too often lately, at last with: status 500",
        ]
    assert found[3]["correlationId"] == "request-3"
    assert found[3]["title"] == "Unavailable for now"


@pytest.mark.django_db
def test_an_answer_with_the_last_known_value_has_its_cause_logged_too(
    api: Client, license_url: str, organization_service: OrganizationService
) -> None:
    api.get(license_url)
    organization_service.behaviour = answering(500)
    with logged() as lines:
        answers = [api.get(license_url, headers={"cache-control": "max-age=0"}) for _ in range(2)]
        assert [(each.status_code, each["Organization-Cache"]) for each in answers] == [(200, "stale")] * 2
        assert [line["cause"] for line in lines()] == ["organization-service-unavailable"]


@pytest.mark.django_db
def test_a_token_that_cannot_be_read(api: Client, license_url: str, tuned: Any, tmp_path: Path) -> None:
    tuned(token_file=tmp_path / "missing")
    with logged() as lines:
        assert types(problems(api, license_url, 3)) == ["/problems/service-token-fault"] * 3
        assert [(line["cause"], line["correlation_id"]) for line in lines()] == [("service-token-fault", "request-0")]
        assert "ORGANIZATION_TOKEN_FILE can't be read" in lines()[0]["error"]


@pytest.mark.django_db
def test_too_many_calls_at_once(
    api: Client, license_url: str, organization_service: OrganizationService, tuned: Any
) -> None:
    tuned(max_calls=1, budget_s=1.0, connect_timeout_s=1.0, read_timeout_s=20.0)
    held, go_on = threading.Event(), threading.Event()

    def hold(handler: BaseHTTPRequestHandler) -> None:
        held.set()
        go_on.wait(20)
        reply(handler, 404, b"", {"Organization-Version": "9"})

    organization_service.behaviour = hold
    fetch = lookup.current().fetch
    with logged() as lines, ThreadPoolExecutor(1) as pool:
        other = pool.submit(fetch, NASA, Deadline(SystemClock(), 20))
        assert held.wait(20)
        assert types(problems(api, license_url, 2)) == ["/problems/organization-service-busy"] * 2
        go_on.set()
        assert [line["cause"] for line in lines()] == ["organization-service-busy"]
        assert other.result(20).version == 9


# What ends an outage.


class Call:
    """Raises what it is told, or answers."""

    fault: Exception | None = None

    def __call__(self, organization_id: str, budget_s: float) -> Fetched:
        if self.fault is not None:
            raise self.fault
        return Fetched(7, None)


class Line:
    """A client whose clock and server a test moves, and what it says."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.call = Call()
        self.client = ResilientClient(
            self.call,
            Circuit(failures=100, reset_s=60),
            attempts=1,
            max_calls=1,
            outages=outage_log(self.clock.monotonic_s),
        )

    def ask(self, fault: Exception | None = None, *, authorization: str | None = None, after_s: float = 0) -> None:
        self.clock.advance(after_s)
        self.call.fault = fault
        with user_context.use(UserContext(authorization=authorization)):
            try:
                self.client(NASA, Deadline(self.clock, 2.0))
            except (OrganizationLookupError, UpstreamAuthError) as raised:
                assert raised is fault


@pytest.fixture
def line() -> Line:
    return Line()


def told(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["event"].partition(".")[2], each["cause"]) for each in lines]


def test_the_end_is_said_once_with_its_length_and_the_failures(line: Line) -> None:
    with logged() as lines:
        for _ in range(4):
            line.ask(UpstreamError("status 500"), after_s=2)
        line.ask(after_s=1)
        line.ask(after_s=3)
        assert told(lines()) == [("failing", "organization-service-unavailable")]
        line.ask(after_s=3)
        line.ask(after_s=60)
        assert told(lines())[1:] == [("recovered", "organization-service-unavailable")]
        assert (lines()[1]["outage_s"], lines()[1]["failures"]) == (7.0, 4)


def test_a_service_that_fails_now_and_then_is_one_outage(line: Line) -> None:
    with logged() as lines:
        for _ in range(20):
            line.ask(BulkheadFull("1 calls are under way already"), after_s=1)
            line.ask(after_s=1)
        assert told(lines()) == [("failing", "organization-service-busy")]


def test_a_refusal_of_the_callers_token_is_an_answer(line: Line) -> None:
    with logged() as lines:
        line.ask(UpstreamError("status 500"))
        line.ask(UpstreamAuthError(401, "Bearer x", None), authorization="Bearer x", after_s=10)
        assert [event for event, _ in told(lines())] == ["failing", "recovered"]


def test_an_answer_to_a_callers_token_proves_nothing_about_the_services_own(line: Line) -> None:
    with logged() as lines:
        line.ask(ServiceTokenError("this service's own token was answered with 401"))
        line.ask(authorization="Bearer x", after_s=10)
        assert told(lines()) == [("failing", "service-token-fault")]
        line.ask(after_s=10)
        assert told(lines())[1:] == [("recovered", "service-token-fault")]


def test_the_document_lists_every_type(api: Client) -> None:
    document = api.get("/openapi.json").json()
    described = document["paths"]["/v1/organization/{organizationId}/license"]["get"]["responses"]["503"]["description"]
    assert all(f"/problems/{cause}" in described for cause in CAUSES)


def test_every_cause_has_a_name_of_its_own_and_a_line_in_the_runbook() -> None:
    runbook = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text()
    assert len(set(CAUSES)) == 4
    assert [cause for cause in CAUSES if f"`{cause}`" not in runbook] == []
