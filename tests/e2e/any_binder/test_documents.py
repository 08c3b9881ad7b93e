"""The commands of the documents do what the pages say, on running services."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from devstack.django_commands import LICENSING, ORGANIZATION
from devstack.environment import ROOT, service_environment
from tests.e2e.world import World
from tests.unit.deploy.document_commands import GUIDES, TUTORIAL, console_commands

_STEP = re.compile(r"(?:(Append to|Save as|Replace) `([^`]+)`[^\n]*:\n\n)?```(?:python|console)\n(.*?)```", re.DOTALL)
_START = "./manage_scripts/run"
_LETTERS = re.compile(r"^(\d+) letters$", re.MULTILINE)
_OF_ORGANIZATIONS = {"outbox_status", "import_organizations", "relay_outbox", "flush"}


def tutorial(world: World) -> str:
    """The page as a script of the shell: its files and commands, with the topic and the address of these servers."""
    lines = ["set -e"]
    for verb, path, text in _STEP.findall(TUTORIAL.read_text()):
        if path:
            redirection = ">>" if verb == "Append to" else ">"
            lines.append(f"cat {redirection} {path} <<'END_OF_FILE'\n{text}END_OF_FILE")
        else:
            lines += [command for command in re.findall(r"^\$ (.*)", text, re.MULTILINE) if command != _START]
    address = world.platform.servers.broker.environment["KAFKA_BOOTSTRAP_SERVERS"]
    script = "\n".join(lines).replace("orgChangeTopic", world.platform.topic)
    return re.sub(r"(KAFKA_BOOTSTRAP_SERVERS)=\S+", rf"\1={address}", script)


def write_manage(folder: Path, world: World) -> None:
    """`./manage_scripts/manage org` for these services. It ends when the relay has sent what the command wrote."""
    (folder / "manage_scripts").mkdir()
    script = folder / "manage_scripts" / "manage"
    settings = [f"{name}={shlex.quote(value)}" for name, value in world.platform.organization_settings.items()]
    call = f"env {' '.join(settings)} {shlex.join(ORGANIZATION.command())}"
    script.write_text(
        f'#!/bin/sh\nset -e\ncd {ROOT}\nshift\n{call} "$@"\n{call} relay_outbox --until-drained || true\n'
    )
    script.chmod(0o700)


def test_the_tutorial_works_from_nothing(world: World, tmp_path: Path) -> None:
    if "KAFKA_BOOTSTRAP_SERVERS" not in world.platform.servers.broker.environment:
        pytest.skip("the tutorial is about Kafka")
    write_manage(tmp_path, world)
    script = tutorial(world).replace('"$PWD"', str(tmp_path))
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first, second, third = map(int, _LETTERS.findall(done.stdout))
    assert (second, third) == (first + 1, first + 2)
    # It did crash on its way, and its own test was run.
    assert "It died." in done.stdout
    assert "1 passed" in done.stdout


def test_the_management_commands_of_the_guides_do_their_work(world: World) -> None:
    customer = world.customer()
    event = world.published(customer.id)
    placeholders = {"CORRELATION_ID": event.correlation_id, "ID": customer.id}
    commands = {command for page in GUIDES for command in console_commands(page) if command.startswith("manage.py ")}
    assert len(commands) > 5
    for command in sorted(commands):
        _, name, *arguments = (placeholders.get(word, word) for word in shlex.split(command))
        project = ORGANIZATION if name in _OF_ORGANIZATIONS else LICENSING
        settings = (
            world.platform.organization_settings if project is ORGANIZATION else world.platform.licensing_settings
        )
        done = subprocess.run(
            project.command(name, *arguments),
            env=service_environment(settings),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        # An alarm or a finding of `doctor` is an answer, too.
        assert done.returncode in {0, 3, 4, 5}, f"{command}: {done.stdout}{done.stderr}"


def test_what_the_readme_asks_with_curl_is_answered(world: World) -> None:
    customer = world.customer()
    token = world.platform.authorization("USER")["Authorization"].removeprefix("Bearer ")
    commands = [command for page in GUIDES for command in console_commands(page) if command.startswith("curl ")]
    assert commands
    for command in commands:
        here = re.sub(r"\$\(\./manage_scripts/token[^)]*\)", token, command)
        here = re.sub(r"/v1/organization/[0-9a-f-]{36}", customer.path, here)
        here = here.replace("http://127.0.0.1:8080", world.platform.licensing_urls[0])
        here = here.replace("http://127.0.0.1:8081", world.platform.organization_url)
        argv = [*shlex.split(here), "--silent", "--fail-with-body", "--noproxy", "*"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
