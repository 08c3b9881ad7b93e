"""Each command of ours ends with a sentence and an exit code where the database can't be reached."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from devstack.django_commands import JOURNAL, LICENSING, ORGANIZATION, Project
from devstack.environment import ROOT

# Nobody listens there.
NOWHERE = "127.0.0.1:1"
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "DEBUG": "true",
    "AUTH_REQUIRED": "false",
    "DATABASE_URL": f"postgresql://nobody@{NOWHERE}/none",
    "REDIS_URL": f"redis://{NOWHERE}/0",
    "EVENT_BINDER": "redis",
    "EVENT_REDIS_URL": f"redis://{NOWHERE}/1",
    "ORGANIZATION_SERVICE_URL": f"http://{NOWHERE}",
}
FAILED = "The database has failed: "
WAITS = {"relay_outbox", "consume_org_changes", "consume_journal"}
"""They wait for a server that is away, and log it once."""

Command = tuple[str, ...]
Ends = tuple[int, str]
COMMANDS: Mapping[Project, Mapping[Command, Ends]] = {
    ORGANIZATION: {
        ("import_organizations", "--format=csv", "-"): (3, FAILED),
        ("load_sample_data",): (1, FAILED),
        ("flush", "--no-input"): (1, FAILED),
        ("outbox_status",): (1, FAILED),
        ("refresh_configuration",): (1, FAILED),
        ("follow_change",): (1, FAILED),
        ("trace", "some-id"): (1, FAILED),
        ("dead_letters", "list"): (1, "--binding should be"),
        ("doctor",): (4, "Something does not work: "),
    },
    LICENSING: {
        ("load_sample_data",): (1, FAILED),
        ("cache_inspect", "e254f8c-c442-4ebe-a82a-e2fc1d1ff78a"): (1, ""),
        ("cache_audit", "--sweep"): (5, "Not checked: "),
        ("refresh_configuration",): (1, FAILED),
        ("trace", "some-id"): (1, FAILED),
        ("dead_letters", "list"): (1, ""),
        ("doctor",): (4, "Something does not work: "),
    },
    JOURNAL: {
        ("purge_inbox",): (1, FAILED),
        ("dead_letters", "list"): (1, ""),
        ("doctor",): (4, "Something does not work: "),
    },
}


@pytest.mark.parametrize("project", COMMANDS, ids=lambda project: project.name)
def test_without_a_database_each_ends_with_a_sentence_or_waits(project: Project) -> None:
    expected = COMMANDS[project]
    script = str(ROOT / "tests/unit/deploy/ended_commands.py")
    done = subprocess.run(
        [sys.executable, script, str(project.folder), json.dumps(list(expected))],
        env=ENVIRONMENT,
        # To be imported.
        input="name\nObservatory\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert set(answer["ours"]) - WAITS == {name for name, *_ in expected}
    for (name, *_), (exit_code, sentence) in expected.items():
        found, err = answer["ended"][name]
        assert (found, err.count("\n")) == (exit_code, 1), err
        assert err.startswith(f"CommandError: {sentence}"), err
