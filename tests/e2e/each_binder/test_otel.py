"""OpenTelemetry: one change is one connected trace over both services, as a real OTLP receiver gets it."""

import uuid
from collections.abc import Iterator

import pytest

from devstack.cluster import ServiceCluster
from devstack.issuer import make_issuer
from devstack.servers import Servers
from devstack.waiting import wait_until
from tests.e2e.otlp import Collector, ReceivedSpan, collector
from tests.e2e.world import DEADLINE_S, ORGANIZATION, World, own_databases, redis_database


@pytest.fixture(scope="module")
def received() -> Iterator[Collector]:
    with collector() as received:
        yield received


@pytest.fixture(scope="module")
def traced(servers: Servers, received: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A platform of its own, since the others run without traces, as is the default."""
    folder = tmp_path_factory.mktemp("traced")
    platform = ServiceCluster(
        servers,
        folder,
        topic=f"otel-{uuid.uuid4().hex}",
        databases=own_databases("otel", servers.binder),
        redis_url=redis_database(servers.redis_url, 12),
        issuer=make_issuer(folder / "issuer"),
        settings={
            "WEB_CONCURRENCY": "1",
            "ORGANIZATION_MAX_STALENESS_S": "120",
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.endpoint,
            # Even so, what may change something is traced, and what it leads to.
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.0",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        },
    )
    platform.prepare()
    with platform, World(platform) as world:
        yield world


def find(received: Collector, name: str, **attributes: object) -> ReceivedSpan:
    """Return the one span of that name, once it has come."""

    def matching() -> list[ReceivedSpan]:
        return [span for span in received.spans if span.name == name and attributes.items() <= span.attributes.items()]

    assert wait_until(lambda: bool(matching()), within_s=DEADLINE_S), [
        (span.service, span.name, span.attributes) for span in received.spans
    ]
    [span] = matching()
    return span


def test_a_change_is_one_trace_over_both_services(traced: World, received: Collector) -> None:
    customer = traced.customer()
    correlation_id = f"otel-{uuid.uuid4()}"
    headers = {"tmx-correlation-id": correlation_id}
    url = f"{traced.platform.organization_url}{customer.path}?note=Frodo"
    traced.http.put(url, json=ORGANIZATION | {"name": "Changed"}, headers=headers).raise_for_status()

    topic = traced.platform.topic
    conversation = {"messaging.message.conversation_id": correlation_id}
    process = find(received, f"process {topic}", **conversation)
    send = find(received, f"send {topic}", **conversation)
    [request] = [span for span in received.spans if span.attributes.get("correlation_id") == correlation_id]

    assert {span.trace_id for span in (request, send, process)} == {request.trace_id}
    assert (request.parent, send.parent, process.parent) == ("", request.span_id, request.span_id)
    assert send.links == process.links == (request.span_id,)
    assert (request.service, send.service, process.service) == ("organization", "organization", "licensing")
    assert request.attributes["http.request.method"] == "PUT"
    # What somebody asked for may be a name.
    assert "Frodo" not in str([span.attributes for span in received.spans])
    # The handling has called Redis, and that call is a part of it.
    assert wait_until(lambda: any(span.parent == process.span_id for span in received.spans), within_s=DEADLINE_S), (
        "no span within the batch"
    )


def test_a_read_is_traced_across_the_services_if_its_caller_traces_it(traced: World, received: Collector) -> None:
    customer = traced.customer()
    trace_id = uuid.uuid4().hex
    licensing = traced.platform.licensing_urls[0]
    headers = {"traceparent": f"00-{trace_id}-{'a' * 16}-01", "Cache-Control": "no-cache"}
    traced.http.get(f"{licensing}{customer.license}", headers=headers).raise_for_status()

    def services() -> set[str]:
        return {span.service for span in received.spans if span.trace_id == trace_id}

    both = {"organization", "licensing"}
    assert wait_until(lambda: services() == both, within_s=DEADLINE_S), services()


def test_reads_are_sampled_as_configured_and_polls_are_not(traced: World, received: Collector) -> None:
    customer = traced.customer()
    traced.lookup(customer, 0)
    # What comes after it has come.
    test_a_change_is_one_trace_over_both_services(traced, received)
    roots = [span for span in received.spans if not span.parent]
    assert {span.attributes.get("http.request.method") for span in roots if not span.links} <= {"POST", "PUT"}
