"""`./manage_scripts/run` as a person uses it: started, interrupted, killed, started twice; with a server that dies."""

import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from devstack import SupervisedProcess, wait_until
from devstack.environment import ROOT, server_environment
from devstack.nginx import NginxMissing, nginx_program
from devstack.ports import free_port, is_free
from devstack.run_state import ISSUER, SECRETS

UP = "Ctrl-C stops everything"
STEPS = ("lookup ", "miss", "lookup again ", "hit", "change ", "event ", "eviction ", "lookup after it ")


class Run(SupervisedProcess):
    """A run with data and ports of its own; ready when it has done the main job and says how to stop it."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.org_port, self.licensing_port, self.gateway_port = free_port(), free_port(), free_port()
        super().__init__(
            "run",
            [ROOT / "manage_scripts" / "run", *self.options],
            log=folder / "run.log",
            ready=lambda: UP in self.log_tail(100),
            env=server_environment(),
            ready_within_s=150,
        )

    @property
    def options(self) -> list[str]:
        ports = ["--org-port", str(self.org_port), "--licensing-port", str(self.licensing_port)]
        return ["--data", str(self.data), *ports, "--gateway-port", str(self.gateway_port)]

    def again(self, *more: str, verb: str = "run") -> subprocess.CompletedProcess[str]:
        """Another command on the same data, to its end."""
        options = self.options if verb == "run" else self.options[:2]  # the data alone
        command = [str(ROOT / "manage_scripts" / verb), *options, *more]
        return subprocess.run(command, check=False, capture_output=True, text=True, env=server_environment())

    def children(self) -> list[psutil.Process]:
        """All its processes but the guardian, who outlives them by a moment."""
        below = psutil.Process(self.pid).children(recursive=True)
        return [child for child in below if not any("guardian" in part for part in child.cmdline())]


def has_nginx() -> bool:
    try:
        return nginx_program().exists()
    except NginxMissing:
        return False


def all_gone(processes: list[psutil.Process], within_s: float = 20) -> bool:
    return wait_until(
        lambda: all(not each.is_running() or each.status() == psutil.STATUS_ZOMBIE for each in processes),
        within_s=within_s,
    )


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run(tmp_path) as run:
        yield run


def test_it_does_the_main_job_and_stays_up_until_it_is_stopped_and_keeps_its_data(run: Run) -> None:
    said = run.log_tail(100)
    assert all(step in said for step in STEPS)
    with urllib.request.urlopen(f"http://127.0.0.1:{run.licensing_port}/health/ready", timeout=5) as answer:
        assert answer.status == 200
    assert (run.data / SECRETS).stat().st_mode & 0o077 == 0
    if has_nginx():
        with urllib.request.urlopen(f"http://127.0.0.1:{run.gateway_port}/license/docs", timeout=5) as answer:
            assert answer.status == 200
        # Licensing asked through it.
        assert '"path": "/organization/v1/organization/' in (run.data / "gateway.log").read_text()
    else:
        assert "not started: it needs nginx" in said
    let_in_are_those_with_a_token(run)
    commands_find_the_stack(run)

    second = run.again()
    assert second.returncode == 1
    assert f"Another run (pid {run.pid}) works on the data" in second.stderr
    assert "Traceback" not in second.stderr

    children = run.children()
    assert run.again(verb="stop").stdout == "Stopped.\n"
    assert wait_until(lambda: run.returncode == 0, within_s=5)
    assert all_gone(children)
    assert run.again(verb="stop").stdout == "Nothing is running.\n"

    third = run.again("--once")
    assert third.returncode == 0, third.stderr
    assert "Every step was seen" in third.stdout
    assert is_free(run.licensing_port)


def let_in_are_those_with_a_token(run: Run) -> None:
    """As printed: a token is all that there is on standard output."""
    assert f"./manage_scripts/token --data {run.data} --role USER" in run.log_tail(100)
    organizations = f"http://127.0.0.1:{run.org_port}/v1/organization"
    body = {"name": "Acme"}
    assert httpx.post(organizations, json=body).status_code == 401
    reader, user = (run.again(*role, verb="token").stdout.strip() for role in ([], ["--role", "USER"]))
    assert httpx.post(organizations, json=body, headers={"Authorization": f"Bearer {reader}"}).status_code == 403
    made = httpx.post(organizations, json=body, headers={"Authorization": f"Bearer {user}"})
    assert made.status_code == 201
    another = run.again("--role", "USER", "--audience", "another-service", verb="token").stdout.strip()
    assert httpx.get(organizations, headers={"Authorization": f"Bearer {another}"}).status_code == 401
    for private in (run.data / ISSUER).glob("*.pem"):
        assert private.stat().st_mode & 0o077 == 0
        assert private.read_text() not in run.log.read_text()


def commands_find_the_stack(run: Run) -> None:
    """As printed: without a variable, from any folder. The doctor has nothing to say of one broker."""
    assert f"./manage_scripts/manage --data {run.data} org doctor" in run.log_tail(100)
    for project in ("org", "licensing"):
        examined = run.again(project, "doctor", verb="manage")
        assert (examined.returncode, examined.stderr) == (0, ""), examined.stdout
        assert "the only one, as the setting single_server says" in examined.stdout
    listed = run.again("licensing", "dead_letters", "list", verb="manage")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.startswith("0 dead letters")
    assert run.again("journal", "migrate", verb="manage").returncode == 0
    assert run.again("org", "outbox_status", verb="manage").stdout == "0 unsent, 0 parked\n"
    refused = run.again("org", "no_such_command", verb="manage")
    assert "Unknown command: 'no_such_command'" in refused.stderr


def test_ctrl_c_is_a_clean_end(run: Run) -> None:
    children = run.children()
    os.killpg(run.pid, signal.SIGINT)
    assert wait_until(lambda: run.returncode is not None, within_s=30)
    assert run.returncode == 0
    assert all_gone(children)
    assert "Traceback" not in run.log_tail(100)


def test_a_server_that_dies_ends_the_run_with_its_name(run: Run) -> None:
    children = run.children()
    [valkey] = [child for child in children if "valkey-server" in child.cmdline()[0]]
    valkey.kill()
    assert wait_until(lambda: run.returncode == 1, within_s=30)
    assert "Valkey ended by itself (signal SIGKILL)" in run.log_tail(100)
    assert all_gone(children)


def test_a_killed_run_leaves_nothing_and_the_next_one_finds_its_data(run: Run) -> None:
    children = run.children()
    os.kill(run.pid, signal.SIGKILL)
    assert run.again("--once").returncode == 0
    assert all_gone(children, within_s=0)


def test_a_taken_port_is_named_with_the_option_that_chooses_another(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with socket.create_server(("127.0.0.1", run.org_port)):
        refused = run.again("--once")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"Port {run.org_port}, wanted for the organization service, is already in use: "
        "choose another one with --org-port.\n"
    )
