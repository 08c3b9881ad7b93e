"""The trace of a change over both services, as the command of either one shows it."""

import json
import subprocess
from typing import Any

import pytest

from devstack.django_commands import LICENSING, ORGANIZATION, Project
from devstack.environment import ROOT, service_environment
from devstack.process import stop_in_parallel
from devstack.waiting import wait_until
from tests.e2e.world import DEADLINE_S, Customer, World, fresh

EVERY_STEP = ["requested", "written", "sent", "received", "applied", "evicted", "filled", "answered"]


def command(world: World, project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    platform = world.platform
    settings = platform.organization_settings if project is ORGANIZATION else platform.licensing_settings
    return subprocess.run(
        project.command("trace", *arguments),
        cwd=ROOT,
        env=service_environment(settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def steps(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    [message] = answer["messages"]
    return {step["name"]: step for step in message["steps"]}


@pytest.fixture
def customer(world: World) -> Customer:
    customer = world.customer()
    world.cached(customer)
    return customer


@pytest.mark.parametrize("project", [ORGANIZATION, LICENSING], ids=["organization", "licensing"])
def test_a_change_is_followed_from_the_request_to_the_first_answer_that_has_it(
    world: World, customer: Customer, project: Project
) -> None:
    correlation_id, contact = fresh("traced"), fresh("contact")
    changed = world.change(customer, contact, correlation_id=correlation_id)
    before = command(world, project, correlation_id, "--until", "applied", "--follow", "--timeout", "30")
    assert before.returncode == 0, before.stdout + before.stderr
    first = world.lookup(customer, 0)
    assert first.contact == contact

    done = command(world, project, correlation_id, "--json", "--follow", "--timeout", "30")

    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert (answer["state"], answer["complete"]) == ("complete", True)
    found = steps(answer)
    assert list(found) == EVERY_STEP
    assert all(step["state"] == "done" for step in found.values())
    event = world.event_of(correlation_id)
    assert found["sent"]["text"] == f"{world.platform.topic}, partition {event.partition}, offset {event.offset}"
    # Every instant after the other: one machine has one clock.
    times = [found[name]["at"] for name in EVERY_STEP if name != "sent"]
    assert times == sorted(times)
    processes = {found[name]["process"] for name in ("received", "applied", "evicted")}
    assert len(processes) == 1
    # The relay runs within the organization service here.
    [owner] = {found[name]["process"] for name in ("requested", "written", "sent")}
    assert owner
    assert owner not in processes
    assert str(next(iter(processes)).rpartition(":")[2]) in {str(worker.pid) for worker in world.platform.workers}
    assert int(changed.headers["Organization-Version"]) == first.version
    by_key = command(world, project, "--organization", customer.id, "--version", str(first.version), "--json")
    assert json.loads(by_key.stdout)["correlationId"] == correlation_id


def test_without_a_worker_a_change_waits_and_the_trace_says_so(world: World, customer: Customer) -> None:
    workers = world.platform.workers
    stop_in_parallel(workers)
    try:
        correlation_id = fresh("waiting")
        world.change(customer, fresh("contact"), correlation_id=correlation_id)
        assert wait_until(lambda: world.event_of(correlation_id).published, within_s=DEADLINE_S)
        waiting = command(world, ORGANIZATION, correlation_id, "--json")
        assert waiting.returncode == 3, waiting.stdout + waiting.stderr
        found = steps(json.loads(waiting.stdout))
        assert found["sent"]["state"] == "done"
        for name in ("received", "applied", "evicted"):
            assert found[name]["state"] == "waiting"
            assert "the worker was stopped" in found[name]["text"]
    finally:
        for worker in workers:
            worker.start()
    done = command(world, ORGANIZATION, correlation_id, "--until", "applied", "--follow", "--timeout", "60")
    assert done.returncode == 0, done.stdout + done.stderr
