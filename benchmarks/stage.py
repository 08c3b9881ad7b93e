"""Servers, services and customers for the parts to work on: started when a part asks, shared by those after it."""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import urlsplit

import httpx

from benchmarks.http_load import Request
from devstack import ServiceCluster, SupervisedProcess
from devstack.environment import ROOT, service_environment
from devstack.issuer import make_issuer
from devstack.ports import free_port
from devstack.process import start_in_parallel
from devstack.servers import Servers, start_servers

_SERVE = ROOT / "deploy" / "gunicorn" / "serve.py"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Customer:
    """An organization and one of its licenses, with what a lookup of it is answered, whatever has changed its phone."""

    organization_id: str
    organization: dict[str, str]
    license_path: str
    lookup: dict[str, str]

    def look_up(self, headers: Mapping[str, str]) -> Request:
        return Request("GET", self.license_path, self.lookup, headers=headers)

    def change(self, number: int, headers: Mapping[str, str]) -> Request:
        body = {**self.organization, "contactPhone": f"+1 555 {number:07}"}
        path = f"/v1/organization/{self.organization_id}"
        return Request("PUT", path, {"id": self.organization_id, **body}, json.dumps(body), headers)


class Stage:
    """PostgreSQL, Valkey and Kafka as under `./manage_scripts/run`, flushes to the disk included, and the services.

    The servers are always our own: what a figure means depends on how they are set up. `scale` says how much is
    measured: 0 quick, 1 as usual, 2 long.
    """

    def __init__(self, scale: int, announce: Callable[[str], None]) -> None:
        self._scale = scale
        self.announce = announce
        self._ends = ExitStack()
        self._customers: list[Customer] = []
        self._is_up = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._ends.close()

    def pick(self, quick: T, usual: T, long: T | None = None) -> T:
        """The one of the values that suits how much is to be measured."""
        return (quick, usual, usual if long is None else long)[self._scale]

    @cached_property
    def folder(self) -> Path:
        folder = Path(self._ends.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        # PostgreSQL, started by root, runs as somebody else, who has to get to its data.
        folder.chmod(0o711)
        return folder

    @cached_property
    def servers(self) -> Servers:
        for name in ("DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS"):
            os.environ.pop(name, None)
        self.announce("starting PostgreSQL, Valkey and Kafka")
        servers = start_servers(self.folder / "servers", durable=True)
        self._ends.callback(servers.stop)
        return servers

    def server(self, name: str) -> SupervisedProcess:
        """One of the servers: PostgreSQL, Valkey or Kafka."""
        return next(process for process in self.servers.processes if process.name == name)

    @cached_property
    def _running(self) -> ServiceCluster:
        issuer = make_issuer(self.folder / "issuer")
        folder = self.folder / "services"
        folder.mkdir()
        cluster = ServiceCluster(self.servers, folder, issuer=issuer)
        self.announce("migrating the databases of the services")
        cluster.prepare()
        self._ends.callback(self._stop_services)
        return cluster

    @cached_property
    def _bulk(self) -> ServiceCluster:
        cluster = ServiceCluster(
            self.servers,
            self.folder / "bulk",
            topic="bulk",
            databases=("organization_bulk", "licensing_bulk"),
            redis_url=self.redis_url(1),
        )
        self.announce("migrating the databases of the backlogs")
        cluster.prepare()
        return cluster

    def redis_url(self, database: int) -> str:
        return f"{self.servers.redis_url.rsplit('/', 1)[0]}/{database}"

    def services(self) -> ServiceCluster:
        """Both services and the worker, running; who calls them has to log in."""
        if not self._is_up:
            cluster = self._running
            self.announce("starting the services")
            cluster.start()
            self._is_up = True
        self._running.keep_tokens_fresh()
        return self._running

    def _stop_services(self) -> None:
        if self._is_up:
            self._running.stop()
            self._is_up = False

    def start_over(self) -> None:
        """Stop the services: a part that has failed may have left them in any state. The next part starts them."""
        self._stop_services()

    def bulk(self) -> ServiceCluster:
        """Both services and the worker, not started, with databases, a topic and a cache of their own.

        Those of `services` are stopped, so that nothing else is at work.
        """
        if self._is_up:
            self._stop_services()
        return self._bulk

    def read_headers(self) -> dict[str, str]:
        """The headers of somebody who may read; the same token each time, so that it was seen before."""
        return self._tokens[0]

    def write_headers(self) -> dict[str, str]:
        return self._tokens[1]

    @cached_property
    def _tokens(self) -> tuple[dict[str, str], dict[str, str]]:
        return self.services().authorization(), self.services().authorization("USER")

    def customers(self, amount: int) -> Sequence[Customer]:
        """So many of them, made through the services' own API."""
        platform = self.services()
        if len(self._customers) < amount:
            self.announce(f"creating {amount - len(self._customers)} customers")
            with httpx.Client(timeout=30, headers=self.write_headers()) as client:
                while len(self._customers) < amount:
                    self._customers.append(_customer(client, platform, len(self._customers)))
        return self._customers[:amount]

    def gunicorn(self, name: str, module: str, settings: Mapping[str, str], chdir: Path = ROOT) -> "WebServer":
        """A gunicorn like that of the services, with another application; not started yet."""
        port = free_port()
        process = SupervisedProcess(
            name,
            [sys.executable, _SERVE, "--chdir", chdir, f"{module}:application"],
            log=self.folder / f"{name.replace(' ', '-')}.log",
            ready=lambda: _answers(port),
            port=port,
            env=service_environment({**settings, "BIND": f"127.0.0.1:{port}", "LOG_FORMAT": "json"}),
            cwd=ROOT,
        )
        return WebServer(process, port)


@dataclass(frozen=True, slots=True)
class WebServer:
    """A web server on 127.0.0.1:`port`."""

    process: SupervisedProcess
    port: int


def _answers(port: int) -> bool:
    """Whether there is any answer: gunicorn accepts connections before its processes have loaded the application."""
    try:
        httpx.get(f"http://127.0.0.1:{port}/", timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return True


def start_all(stack: ExitStack, *servers: WebServer) -> None:
    """Start them at once; `stack` stops them."""
    start_in_parallel([server.process for server in servers])
    for server in servers:
        stack.callback(server.process.stop)


def _customer(client: httpx.Client, platform: ServiceCluster, number: int) -> Customer:
    organization = {
        "name": f"Customer {number}",
        "contactName": "Ann Example",
        "contactEmail": f"ann{number}@example.org",
        "contactPhone": "+1 555 0100",
    }
    made = client.post(f"{platform.organization_url}/v1/organization", json=organization).raise_for_status().json()
    license = {
        "description": "Inventory of software assets, all modules",
        "productName": "Ostock",
        "licenseType": "complete",
        "comment": "Renewed every January",
    }
    path = f"/v1/organization/{made['id']}/license"
    given = client.post(f"{platform.licensing_urls[0]}{path}", json=license).raise_for_status().json()
    # The phone is what the parts change.
    contact = {field: organization[field] for field in ("contactName", "contactEmail")}
    lookup = {
        "licenseId": given["licenseId"],
        "organizationId": made["id"],
        **license,
        "organizationName": organization["name"],
        **contact,
    }
    return Customer(made["id"], organization, f"{path}/{given['licenseId']}", lookup)


def port_of(url: str) -> int:
    port = urlsplit(url).port
    if port is None:
        raise ValueError(f"{url} has no port")
    return port
