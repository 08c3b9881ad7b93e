"""The units of deploy/systemd: systemd can read them, each may do little, and they run what the images run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.compose_file import OURS, compose, filled_in
from tests.deploy.systemd_units import CONFIGURATION, UNITS, copy_to, services

PROGRAM = shutil.which("systemd-analyze")
# The first that rates units of a folder.
_LEAST_VERSION = 250


def _version() -> int:
    if PROGRAM is None:
        return 0
    told = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    match = re.match(r"systemd (\d+)", told)
    return int(match[1]) if match else 0


needs_systemd = pytest.mark.skipif(
    _version() < _LEAST_VERSION,
    reason=f"there is no systemd-analyze of systemd {_LEAST_VERSION} or newer: install systemd",
)
# Of 10; a service without any such setting has 9.6.
MOST_EXPOSED = 2.0


@pytest.fixture
def installed(tmp_path: Path) -> tuple[Path, list[str]]:
    """The units where systemd-analyze looks for them, with programs that are there."""
    home = tmp_path / "home"
    (home / "venv/bin").mkdir(parents=True)
    (home / "venv/bin/python").symlink_to(sys.executable)
    return tmp_path / "units", copy_to(tmp_path / "units", home)


def analyze(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    # The system's own after ours, since ours name some of them.
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:/usr/lib/systemd/system:/lib/systemd/system"}
    return subprocess.run(
        [PROGRAM or "", *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@needs_systemd
def test_systemd_understands_every_line(installed: tuple[Path, list[str]]) -> None:
    folder, names = installed
    assert len(names) > 12
    done = analyze(folder, "verify", "--man=no", *names)
    # It warns of an unknown setting, and goes on; of the system's own units it may say what it likes.
    complaints = [line for line in done.stderr.splitlines() if "events" in line]
    assert (done.returncode, complaints) == (0, [])


@needs_systemd
def test_no_unit_is_more_exposed_than_it_must_be(installed: tuple[Path, list[str]]) -> None:
    folder, names = installed
    units = [name for name in names if name.endswith(".service")]
    done = analyze(folder, "security", "--offline=true", "--no-pager", "--json=short", *units)
    assert done.returncode == 0, done.stderr
    threshold = str(round(MOST_EXPOSED * 10))
    done = analyze(folder, "security", "--offline=true", "--no-pager", f"--threshold={threshold}", *units)
    assert done.returncode == 0, done.stdout


def test_they_run_what_compose_runs() -> None:
    stack = compose(filled_in())["services"]
    wanted = {json.dumps(stack[name]["command"][2:]) for name in OURS if "command" in stack[name]}
    argvs = [unit.argv for unit in services()]
    assert wanted <= {json.dumps(argv[2:]) for argv in argvs}
    assert {argv[-1] for argv in argvs if argv[1].endswith("serve.py")} == {
        "org_project.wsgi:application",
        "licensing_project.wsgi:application",
    }


def test_each_has_the_account_and_the_secrets_of_its_own_service() -> None:
    accounts = [line.split()[1] for line in (UNITS / "sysusers.conf").read_text().splitlines() if line[:2] == "u "]
    for unit in services():
        account = unit.one("User")
        assert account in accounts
        assert unit.name.startswith("events-")
        name = account.removeprefix("events-")
        assert [path.removeprefix(f"{CONFIGURATION}/{name}") for path in unit.settings["EnvironmentFile"]] in (
            [".env"],
            ["-token.env"],
        )


def test_what_stays_is_reloaded_by_a_hangup_and_started_again_after_a_fault() -> None:
    for unit in services():
        assert unit.one("Restart") == "on-failure"
        if unit.one("Type") != "oneshot" and "token" not in unit.name:
            assert unit.one("ExecReload") == "/bin/kill -HUP $MAINPID"


def test_no_secret_has_a_value_in_an_example() -> None:
    for path in UNITS.glob("*.example"):
        for line in path.read_text().splitlines():
            name, _, value = line.partition("=")
            if name in {"SECRET_KEY", "CLIENT_SECRET"}:
                assert value == ""
            assert "PASSWORD" in value or "@" not in value
