"""A wrong setting ends each command, Django's own among them, with one sentence that names it."""

import json
import os
import subprocess
import sys

import pytest

from devstack.django_commands import JOURNAL, LICENSING, ORGANIZATION, Project
from devstack.environment import ROOT
from event_stream.terminal import SETTING_EXIT_CODE
from tests.unit.deploy.test_commands import ENVIRONMENT

WRONG = {"DATABASE_URL": "postgresql://somebody:hush@127.0.0.1:5432/", "EVENT_REDIS_URL": "redis://h:hush/0"}
# Some of the apps', and some of Django's.
SOME = {"doctor", "dead_letters", "check", "migrate", "runserver", "shell", "test", "createsuperuser", "startapp"}


@pytest.mark.parametrize("project", [ORGANIZATION, LICENSING, JOURNAL], ids=lambda project: project.name)
def test_each_command_says_one_sentence(project: Project) -> None:
    script = str(ROOT / "tests/unit/deploy/commands_with_wrong_settings.py")
    wrong = [part for item in WRONG.items() for part in item]
    done = subprocess.run(
        [sys.executable, script, str(project.folder), json.dumps(ENVIRONMENT), *wrong],
        env={"PATH": os.environ["PATH"]},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert set(answer["names"]) > SOME
    assert len(answer["ended"]) == len(answer["names"])
    for case, (code, err) in answer["ended"].items():
        name, variable = case.split()
        assert (code, err.count("\n")) == (SETTING_EXIT_CODE, 1), (case, err)
        assert err.startswith(f"ImproperlyConfigured: {variable} should be "), (name, err)
        assert "hush" not in err
