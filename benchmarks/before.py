"""An earlier commit beside the present one: how much faster it has become is measured in the same run.

Its files are taken from git into `.local/benchmarks/COMMIT`. It runs on the libraries of today.
"""

import io
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.stage import Stage
from devstack import SupervisedProcess
from devstack.cluster import is_ready
from devstack.django_commands import Project, manage
from devstack.environment import LOCAL, service_environment
from devstack.ports import free_port
from devstack.topics import Topic, create_topics

COMMIT = "7168224"
"""The one on which issue 15's figures were taken."""


@dataclass(frozen=True, slots=True)
class Before:
    """The organization service of that commit, on a database of its own."""

    root: Path
    settings: dict[str, str]

    @property
    def project(self) -> Project:
        return Project("org_project", "organization_before", self.root)

    def web(self, folder: Path) -> tuple[SupervisedProcess, int]:
        """Its gunicorn, not started yet, and its port."""
        port = free_port()
        settings = self.root / "deploy" / "gunicorn" / "gunicorn.conf.py"
        process = SupervisedProcess(
            "before",
            [
                sys.executable,
                "-m",
                "gunicorn",
                "-c",
                settings,
                "--chdir",
                self.project.folder,
                "org_project.wsgi:application",
            ],
            log=folder / "before.log",
            ready=lambda: is_ready(f"http://127.0.0.1:{port}"),
            port=port,
            env=service_environment({**self.settings, "BIND": f"127.0.0.1:{port}"}),
            cwd=self.root,
        )
        return process, port


def prepare(stage: Stage, settings: dict[str, str], *, commit: str = COMMIT) -> Before:
    """Raises BenchmarkError if git does not have the commit."""
    root = LOCAL / "benchmarks" / commit
    if not root.exists():
        archive = subprocess.run(["git", "archive", commit], check=False, capture_output=True)
        if archive.returncode:
            raise BenchmarkError(f"git does not have the commit {commit}: {archive.stderr.decode().strip()}")
        partial = root.with_suffix(".partial")
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(partial, filter="data")
        partial.replace(root)
    name = "organization_before"
    if stage.servers.create_database(name):
        stage.announce(f"migrating a database of {commit}")
    # Before the checkout that the virtual environment refers to.
    own = {**settings, "DATABASE_URL": stage.servers.database_url(name), "PYTHONPATH": str(root)}
    create_topics(stage.servers.kafka_bootstrap_servers, [Topic(settings["ORG_CHANGE_TOPIC"], 6, 1, 1)])
    before = Before(root, own)
    manage(before.project, own, ["migrate", "--noinput"])
    return before
