"""Both services and their workers as processes on given servers, for `./manage_scripts/run` and the tests alike."""

import dataclasses
import runpy
import secrets
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from devstack import json_log
from devstack.django_commands import LICENSING, ORGANIZATION, Project, manage
from devstack.environment import ROOT, service_environment
from devstack.errors import StackError
from devstack.issuer import LIFETIME_S, Issuer, TokenFile
from devstack.ports import free_port
from devstack.process import SupervisedProcess, start_in_parallel, stop_in_parallel
from devstack.servers import Servers
from devstack.topics import read_topics

DEFAULT_TOPIC = "orgChangeTopic"
_GUNICORN = ROOT / "deploy" / "gunicorn" / "gunicorn.conf.py"


class ServiceCluster:
    """One organization service, `licensing` licensing services and `workers` workers, on 127.0.0.1.

    Several of them share `servers` without meeting if each has its own `databases` (of the two services, made when
    missing), Redis database (in `redis_url`) and `topic`. `settings` go into every process's environment,
    `own_settings` into one service's alone; `asked_at` is where licensing asks for organizations, if not at the service
    itself: a gateway. The services believe the tokens of `issuer`; without one, whoever reaches them may do everything.
    Logs go to `folder`, a file a process.
    """

    def __init__(
        self,
        servers: Servers,
        folder: Path,
        *,
        licensing: int = 1,
        workers: int = 1,
        org_port: int | None = None,
        licensing_ports: Sequence[int] = (),
        topic: str = DEFAULT_TOPIC,
        databases: tuple[str, str] = (ORGANIZATION.database, LICENSING.database),
        redis_url: str | None = None,
        secret_keys: tuple[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        own_settings: Mapping[Project, Mapping[str, str]] | None = None,
        asked_at: str | None = None,
        issuer: Issuer | None = None,
    ) -> None:
        self.servers = servers
        self.topic = topic
        org_port = org_port or free_port()
        ports = [*licensing_ports, *(free_port() for _ in range(licensing - len(licensing_ports)))]
        self.organization_url = f"http://127.0.0.1:{org_port}"
        self.licensing_urls = [f"http://127.0.0.1:{port}" for port in ports]
        definitions = read_topics()
        definition = next(topic for topic in definitions if topic.name == DEFAULT_TOPIC)
        # Those of another name have its dead letters beside them, too.
        self._topics = [
            dataclasses.replace(definition, name=definition.name.replace(DEFAULT_TOPIC, topic, 1))
            for definition in definitions
        ]
        shared = {
            "REDIS_URL": redis_url or servers.redis_url,
            **servers.broker.environment,
            "DEBUG": "false",
            "ALLOWED_HOSTS": "127.0.0.1,localhost",
            # Nothing ends TLS on one machine.
            "PUBLIC_SCHEME": "http",
            "ORG_CHANGE_TOPIC": topic,
            "ORG_CHANGE_PARTITIONS": str(definition.partitions),
            "LOG_FORMAT": "json",
            "EVENT_SINGLE_SERVER": "true",
            **(issuer.environment() if issuer else {"AUTH_REQUIRED": "false"}),
            **(settings or {}),
        }
        self._databases = databases
        self._issuer = issuer
        self._own_token = TokenFile(folder / "licensing.token", issuer, "licensing") if issuer else None
        self._organization_token = TokenFile(folder / "organization.token", issuer, "organization") if issuer else None
        own = own_settings or {}
        organization_key, licensing_key = secret_keys or (secrets.token_urlsafe(50), secrets.token_urlsafe(50))
        self.organization_settings = {
            **shared,
            "SECRET_KEY": organization_key,
            "DATABASE_URL": servers.database_url(databases[0]),
            **_asks_for_traces("licensing", self.licensing_urls[:1], self._organization_token),
            **own.get(ORGANIZATION, {}),
        }
        self.licensing_settings = {
            **shared,
            "SECRET_KEY": licensing_key,
            "DATABASE_URL": servers.database_url(databases[1]),
            "ORGANIZATION_SERVICE_URL": asked_at or self.organization_url,
            **({"ORGANIZATION_TOKEN_FILE": str(self._own_token.path)} if self._own_token else {}),
            **_asks_for_traces("organization", [self.organization_url], self._own_token),
            **own.get(LICENSING, {}),
        }
        self.organization = web(ORGANIZATION, "organization", self.organization_settings, port=org_port, folder=folder)
        self.licensing = [
            web(LICENSING, _numbered("licensing", number), self.licensing_settings, port=port, folder=folder)
            for number, port in enumerate(ports, 1)
        ]
        probes = [f"127.0.0.1:{free_port()}" for _ in range(workers)]
        self.worker_urls = [f"http://{address}" for address in probes]
        """Of their probes and metrics."""
        self.workers = [
            worker(_numbered("worker", number), {**self.licensing_settings, "PROBES_BIND": address}, folder=folder)
            for number, address in enumerate(probes, 1)
        ]

    @property
    def processes(self) -> list[SupervisedProcess]:
        """In the order of starting."""
        return [self.organization, *self.licensing, *self.workers]

    def authorization(self, *roles: str, **claims: Any) -> dict[str, str]:
        """The header of somebody with these roles, good for an hour; none where no token is asked for."""
        if self._issuer is None:
            return {}
        return {"Authorization": f"Bearer {self._issuer.token(*roles, lifetime_s=LIFETIME_S, **claims)}"}

    def keep_tokens_fresh(self) -> None:
        """Renew the services' own tokens before they expire; call it now and then while the cluster runs."""
        for token in (self._own_token, self._organization_token):
            if token is not None:
                token.keep_fresh()

    def prepare(self, *, sample_data: bool = False, admin: Mapping[str, str] | None = None) -> None:
        """Databases, tables and topic; sample data and an admin (DJANGO_SUPERUSER_* variables) on request."""
        for database in self._databases:
            self.servers.create_database(database)

        def prepare(project: Project, settings: Mapping[str, str]) -> None:
            commands = [["migrate", "--noinput"]]
            if sample_data:
                commands.append(["load_sample_data"])
            if admin is not None:
                commands.append(["createsuperuser", "--noinput"])
            manage(project, {**settings, **(admin or {})}, *commands)

        with ThreadPoolExecutor(3) as pool:
            steps: list[Future[None] | Future[list[str]]] = [
                pool.submit(prepare, ORGANIZATION, self.organization_settings),
                pool.submit(prepare, LICENSING, self.licensing_settings),
                pool.submit(self.servers.broker.create_topics, self._topics),
            ]
            for step in steps:
                step.result()

    def start(self) -> Self:
        """All processes at once; returns when every one is ready. If one isn't, all are stopped."""
        self.keep_tokens_fresh()
        start_in_parallel(self.processes)
        return self

    def stop(self) -> None:
        """Stop the web processes first, then the workers."""
        for group in ([*self.licensing, self.organization], self.workers):
            stop_in_parallel(group)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _asks_for_traces(peer: str, urls: Sequence[str], token: TokenFile | None) -> dict[str, str]:
    """The settings with which a service asks the other one for its part of a trace."""
    peers = {"TRACE_PEERS": ",".join(f"{peer}={url}" for url in urls)}
    return peers | ({"TRACE_TOKEN_FILE": str(token.path)} if token else {})


def _numbered(name: str, number: int) -> str:
    """`worker`, `worker-2`, …: a single one needs no number."""
    return name if number == 1 else f"{name}-{number}"


def is_ready(url: str) -> bool:
    """Whether `url`/health/ready is answered with 200."""
    try:
        # No proxy of the environment leads to 127.0.0.1.
        return httpx.get(f"{url}/health/ready", timeout=2, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def check_web_settings() -> None:
    """Read what the environment says of the web processes. Raises StackError.

    gunicorn reads some of it before its configuration file, and says of a wrong number only that it is none.
    """
    try:
        runpy.run_path(str(_GUNICORN))
    except SystemExit as ending:
        raise StackError(str(ending)) from ending


def web(project: Project, name: str, settings: Mapping[str, str], *, port: int, folder: Path) -> SupervisedProcess:
    """A gunicorn on 127.0.0.1:`port`, ready when its health page says so."""
    argv = [sys.executable, str(_GUNICORN.with_name("serve.py"))]
    argv += ["--chdir", str(project.folder), f"{project.name}.wsgi:application"]
    return SupervisedProcess(
        name,
        argv,
        log=folder / f"{name}.log",
        ready=lambda: is_ready(f"http://127.0.0.1:{port}"),
        port=port,
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


def worker(name: str, settings: Mapping[str, str], *, folder: Path, project: Project = LICENSING) -> SupervisedProcess:
    return LoggedProcess(project, "consume_org_changes", name, settings, ready_event="worker.ready", folder=folder)


def relay(
    name: str, settings: Mapping[str, str], *, folder: Path, project: Project = ORGANIZATION
) -> SupervisedProcess:
    """The relay as a process of its own; by default it runs inside the organization service."""
    return LoggedProcess(project, "relay_outbox", name, settings, ready_event="outbox.ready", folder=folder)
