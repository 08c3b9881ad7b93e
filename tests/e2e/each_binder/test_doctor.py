"""`manage.py doctor` of both services, as a person calls it, on a platform that runs."""

import subprocess
from collections.abc import Mapping

import pytest

from devstack.django_commands import LICENSING, ORGANIZATION, Project
from devstack.environment import ROOT, service_environment
from tests.e2e.world import World

SUBJECTS = {
    ORGANIZATION: [
        "settings",
        "database",
        "migrations",
        "broker",
        "relay",
        "outbox",
        "parked messages",
        "triggers",
    ],
    LICENSING: ["settings", "database", "group licensingGroup", "Redis eviction", "watermarks", "organization service"],
}

SINGLE = "answers, and is the only one: lost, it takes the events along -> run at least three"


def doctor(project: Project, settings: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        project.command("doctor"),
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=service_environment(settings),
    )


@pytest.mark.parametrize("project", SUBJECTS, ids=lambda project: project.name)
def test_all_is_well_but_for_the_single_broker(world: World, project: Project) -> None:
    binder = world.platform.servers.binder
    # RabbitMQ tells nobody in AMQP how many there are of it.
    expected = [] if binder == "rabbitmq" else [f"warning  broker {binder}: {SINGLE}"]
    customer = world.customer()
    world.cached(customer)
    settings = {
        ORGANIZATION: world.platform.organization_settings,
        LICENSING: world.platform.licensing_settings,
    }[project]
    development = doctor(project, settings)
    assert development.returncode == 0, development.stdout
    # As an installation has it.
    done = doctor(project, {name: value for name, value in settings.items() if name != "EVENT_SINGLE_SERVER"})
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith(("warning", "failed"))] == expected, done.stdout
    for subject in SUBJECTS[project]:
        assert any(f"  {subject}" in line for line in lines), subject
    if project is LICENSING and binder == "rabbitmq":
        # Elsewhere a group has the workers of every platform that was here.
        assert any("group licensingGroup: 2 members" in line for line in lines), done.stdout
    if expected:
        assert done.returncode == 3, done.stderr
        assert done.stderr.strip().splitlines()[-1].startswith("CommandError: It works, with warnings: 1 warning, ")
    else:
        assert done.returncode == 0, done.stderr
