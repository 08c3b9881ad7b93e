"""What the compose file gives a service is what its settings read, and nothing else."""

import json
import os
import subprocess
import sys

import pytest

from devstack.environment import ROOT
from tests.deploy.compose_file import ADDRESSES, BINDERS, DEPLOY, OURS, compose, filled_in


@pytest.mark.parametrize("binder", BINDERS)
@pytest.mark.parametrize(("name", "project"), OURS.items())
def test_the_settings_accept_the_environment_and_read_all_of_it(name: str, project: str, binder: str) -> None:
    services = compose({**filled_in(), "EVENT_BINDER": binder})["services"]
    of_others = {address for other, address in ADDRESSES.items() if other != binder}
    given = {key: str(value) for key, value in services[name]["environment"].items() if key not in of_others}
    # What the Dockerfile sets.
    given.setdefault("SERVICE_NAME", name)
    given["BIND"] = "0.0.0.0:8080"
    script = [
        ROOT / "tests/deploy/variables_read.py",
        DEPLOY / "gunicorn/gunicorn.conf.py",
        ROOT / project / "manage.py",
    ]

    ended = subprocess.run(
        [sys.executable, *script],
        env={**given, "PATH": os.environ["PATH"]},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert set(given) - set(json.loads(ended.stdout.splitlines()[-1])) == set()
