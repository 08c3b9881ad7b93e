"""The processes of the two services: gunicorn for the web, `manage.py` for worker and relay."""

import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from manage_scripts.stack import json_log
from manage_scripts.stack.django_commands import LICENSING, ORGANIZATION, Project
from manage_scripts.stack.environment import service_environment
from manage_scripts.stack.paths import ROOT
from manage_scripts.stack.process import SupervisedProcess


def is_ready(url: str) -> bool:
    """Whether `url`/health/ready is answered with 200."""
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=2) as answer:  # noqa: S310 - http, to 127.0.0.1
            return bool(answer.status == HTTPStatus.OK)
    except (OSError, urllib.error.HTTPError):
        return False


def web(project: Project, name: str, settings: Mapping[str, str], *, port: int, folder: Path) -> SupervisedProcess:
    """A gunicorn on 127.0.0.1:`port`, ready when its health page says so."""
    argv = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "deploy" / "gunicorn" / "gunicorn.conf.py")]
    argv += ["--chdir", str(ROOT / project.name), f"{project.name}.wsgi:application"]
    return SupervisedProcess(
        name,
        argv,
        log=folder / f"{name}.log",
        ready=lambda: is_ready(f"http://127.0.0.1:{port}"),
        env=service_environment({**settings, "BIND": f"127.0.0.1:{port}", "SERVICE_NAME": project.database}),
        cwd=ROOT,
    )


class LoggedProcess(SupervisedProcess):
    """A `manage.py` command that runs until it is stopped, ready when it logs that it is."""

    def __init__(
        self, project: Project, command: str, name: str, settings: Mapping[str, str], *, ready_event: str, folder: Path
    ) -> None:
        super().__init__(
            name,
            project.command(command),
            log=folder / f"{name}.log",
            ready=lambda: json_log.has_event(self.log, ready_event, self.log_start),
            env=service_environment(settings),
            cwd=ROOT,
        )


def worker(name: str, settings: Mapping[str, str], *, folder: Path) -> SupervisedProcess:
    return LoggedProcess(LICENSING, "consume_org_changes", name, settings, ready_event="worker.ready", folder=folder)


def relay(name: str, settings: Mapping[str, str], *, folder: Path) -> SupervisedProcess:
    """The relay as a process of its own; by default it runs inside the organization service."""
    return LoggedProcess(ORGANIZATION, "relay_outbox", name, settings, ready_event="outbox.ready", folder=folder)
