"""However a management command of ours ends, a person reads one sentence at most, and the exit code is documented.

The commands come from the code of each Django project; `tests/devstack/test_script_endings.py` has the scripts.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from devstack.django_commands import JOURNAL, LICENSING, ORGANIZATION, Project
from devstack.environment import ROOT
from tests.unit.deploy.forked_commands import OUTPUTS, SIGNALS

ENVIRONMENT = {"PATH": os.environ["PATH"], "DEBUG": "true", "AUTH_REQUIRED": "false", "EVENT_BINDER": "redis"}
UNREAD = 141
UNWRITABLE = "The output can't be written: No space left on device.\n"
PROJECTS: Mapping[Project, Sequence[Sequence[str]]] = {
    ORGANIZATION: [
        ["import_organizations", "FILE"],
        ["flush", "--no-input"],
        ["dead_letters", "list"],
        ["trace", "some-id"],
    ],
    LICENSING: [
        ["cache_audit", "--sweep"],
        ["cache_inspect", "e254f8c2-c442-4ebe-a82a-e2fc1d1ff78a"],
        ["dead_letters", "list"],
        ["trace", "some-id"],
    ],
    JOURNAL: [["dead_letters", "list"], ["trace", "some-id"]],
}
STOPPED = {"relay_outbox", "consume_org_changes", "consume_journal"}
"""These run until a signal stops them, which is a success. What they say is their log."""
UNSTARTED = {"org_project dead_letters": "CommandError: --binding should be "}
"""The organization service parks none."""


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_each_command_of_a_project_ends_in_a_sentence_at_most(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "organizations.csv"
    file.write_text("name\nObservatory\n")
    commands = [[str(file) if part == "FILE" else part for part in command] for command in PROJECTS[project]]
    done = subprocess.run(
        [sys.executable, ROOT / "tests/unit/deploy/forked_commands.py", project.folder, json.dumps(commands)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: Mapping[str, tuple[int, str]] = json.loads(done.stdout.splitlines()[-1])
    assert len(results) > 20
    for case, (code, err) in results.items():
        name, fault = case.split()
        assert "Traceback" not in err, (case, err)
        if fault in OUTPUTS:
            expected = {"unread": (UNREAD, ""), "full": (1, UNWRITABLE)}.get(fault, (0, ""))
            assert (code, err) == expected, case
        elif name in STOPPED:
            assert code == 0, (case, err)
        elif f"{project.name} {name}" in UNSTARTED:
            assert (code, err.count("\n")) == (1, 1), (case, err)
            assert err.startswith(UNSTARTED[f"{project.name} {name}"]), (case, err)
        else:
            number = next(number for number in SIGNALS if number.name == fault)
            assert (code, err.count("\n")) == (128 + number, 1), (case, err)
            assert err.startswith(f"CommandError: Stopped by {fault}."), (case, err)
