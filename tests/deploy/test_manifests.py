"""Every command, environment and probe of the compose file, the chart and the units, as processes on real servers.

Of a manifest only the place is changed: addresses, ports, paths and what is secret. What a variable says beside that,
and which variables there are, comes from the manifest.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from devstack.cluster import ServiceCluster
from devstack.django_commands import LICENSING, ORGANIZATION
from devstack.issuer import Issuer, make_issuer
from devstack.ports import free_port
from devstack.process import SupervisedProcess, start_in_parallel, stop_in_parallel
from devstack.servers import Servers
from tests.deploy import systemd_units
from tests.deploy.compose_file import DEPLOY, compose, filled_in
from tests.deploy.helm_chart import MISSING, RELEASE, helm_program, pod_specs, rendered
from tests.e2e.world import own_databases, redis_database
from tests.unit.deploy.test_dockerfile import stage

PROJECTS = {"organization": ORGANIZATION, "licensing": LICENSING}
PORTS = {"organization": 8081, "licensing": 8080}
TOKEN_URL = "https://login.example.org/token"


@dataclass(frozen=True, slots=True)
class Launch:
    """A process as a manifest has it. It ends by itself where it has no `probe`."""

    name: str
    service: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    probe: str = ""
    """`http`, the paths of `paths`; `command`, the image's HEALTHCHECK; `notify`, systemd's; `file`, TOKEN_FILE."""
    paths: Sequence[str] = field(default_factory=tuple)


def from_compose() -> Iterator[Launch]:
    for name, definition in compose({**filled_in(), "COMPOSE_PROFILES": "kafka,keycloak"})["services"].items():
        if "build" not in definition or "redis" in definition.get("profiles", []):
            continue
        service = definition["build"]["target"]
        lines = stage(service)
        image = dict(re.findall(r"(\w+)=(\S+)", " ".join(line for line in lines if line.startswith("ENV "))))
        image.pop("PATH")
        command = next(json.loads(line.removeprefix("CMD ")) for line in lines if line.startswith("CMD "))
        given = {key: str(value) for key, value in definition["environment"].items()}
        disabled = definition.get("healthcheck", {}).get("disable")
        probe = "file" if "TOKEN_FILE" in given else "" if disabled else "command"
        yield Launch(name, service, definition.get("command", command), {**image, **given}, probe)


def from_helm() -> Iterator[Launch]:
    for name, spec in pod_specs(rendered(f"tokens.url={TOKEN_URL}", "publicHosts=127.0.0.1")).items():
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            service = re.search(r"(\w+)-service:", container["image"])
            assert service is not None
            is_token = container["name"] == "token"
            # One for each service is enough; the pods' are all the same.
            if is_token and name != service[1]:
                continue
            given = {each["name"]: each["value"] for each in container["env"] if "value" in each}
            references = {each["name"]: each["valueFrom"] for each in container["env"] if "valueFrom" in each}
            required = [name for name, value in references.items() if "optional" not in value["secretKeyRef"]]
            probes = ("startupProbe", "livenessProbe", "readinessProbe")
            paths = [container[probe]["httpGet"]["path"] for probe in probes if "httpGet" in container.get(probe, {})]
            image = next(line for line in stage(service[1]) if line.startswith("CMD "))
            yield Launch(
                f"{name}-token" if is_token else name,
                service[1],
                container.get("command") or json.loads(image.removeprefix("CMD ")),
                given | dict.fromkeys(required, ""),
                "file" if is_token else "http" if paths else "",
                paths,
            )


def from_systemd() -> Iterator[Launch]:
    for unit in systemd_units.services():
        service = unit.one("User").removeprefix("events-")
        kind = {"notify": "notify", "oneshot": ""}.get(unit.one("Type"), "command")
        probe = "file" if "TOKEN_FILE" in unit.environment else kind
        name = unit.name.removeprefix("events-").removesuffix(".service")
        yield Launch(name, service, unit.argv, {**unit.files, **unit.environment}, probe)


class Machine:
    """Where a manifest's processes run instead."""

    def __init__(self, platform: ServiceCluster, folder: Path, issuer: Issuer, token_url: str) -> None:
        self._folder = folder
        self._token_url = token_url
        self._issuer = issuer
        self._ports = {name: free_port() for name in PORTS}
        self._servers = {ORGANIZATION: platform.organization_settings, LICENSING: platform.licensing_settings}

    def environment(self, launch: Launch) -> dict[str, str]:
        """The manifest's, with the values of those that name a server, a secret or a place from here."""
        server = {
            name: value
            for name, value in self._servers[PROJECTS[launch.service]].items()
            if re.search("DATABASE_URL|REDIS_URL|KAFKA_BOOTSTRAP|RABBITMQ|EVENT_BINDER|SECRET_KEY|TOPIC", name)
        }
        server |= {"CLIENT_SECRET": "hush", "TOKEN_URL": self._token_url}
        place = {**server, **self._issuer.environment()}
        given = {name: place.get(name) or self._here(launch, name, value) for name, value in launch.environment.items()}
        # What a manifest leaves to its default is another topic's here, and a key set that is no server's.
        left = {name: place[name] for name in ("ORG_CHANGE_TOPIC", "AUTH_JWKS_URL")}
        return given | left | {"PATH": os.environ["PATH"]}

    def argv(self, launch: Launch) -> list[str]:
        return [self._path(word) for word in launch.argv]

    def process(self, launch: Launch) -> SupervisedProcess:
        environment = self.environment(launch)
        log = self._folder / f"{launch.name}.log"
        notified = _Notified() if launch.probe == "notify" else None
        if notified is not None:
            environment["NOTIFY_SOCKET"] = str(notified.path)
        probes: dict[str, Callable[[], bool]] = {
            "http": lambda: all(_answers(environment, path) for path in launch.paths),
            "command": lambda: self._is_healthy(launch, environment),
            "file": lambda: Path(environment["TOKEN_FILE"]).exists(),
            "notify": notified.is_ready if notified is not None else lambda: False,
        }
        return SupervisedProcess(
            launch.name,
            self.argv(launch),
            log=log,
            ready=probes[launch.probe],
            env=environment,
            cwd=PROJECTS[launch.service].folder,
            ready_within_s=90,
        )

    def run(self, launch: Launch) -> None:
        done = subprocess.run(
            self.argv(launch),
            env=self.environment(launch),
            cwd=PROJECTS[launch.service].folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{launch.name}: {done.stdout}{done.stderr}"

    def _here(self, launch: Launch, name: str, value: str) -> str:
        if name in {"BIND", "PROBES_BIND"}:
            port = self._ports[launch.service] if name == "BIND" else free_port()
            return f"127.0.0.1:{port}"
        if name.endswith("TOKEN_FILE"):
            return str(self._folder / f"{launch.service}.token")
        for service, port in PORTS.items():
            # By the name that each manifest says may be used, and the gateway leads to both.
            names = rf"(?:(?:{RELEASE}-)?{service}|127\.0\.0\.1):{port}|gateway:8072/{service}"
            value = re.sub(names, f"localhost:{self._ports[service]}", value)
        return value

    def _path(self, word: str) -> str:
        word = word.replace(systemd_units.HOME, "")
        if word in {"python", "/venv/bin/python"}:
            return sys.executable
        for name in ("gunicorn/serve.py", "healthcheck.py", "keycloak/renew_token.py"):
            if word.startswith("/") and Path(word).name == Path(name).name:
                return str(DEPLOY / name)
        return word

    def _is_healthy(self, launch: Launch, environment: Mapping[str, str]) -> bool:
        check = next(line for line in stage(launch.service) if line.startswith("HEALTHCHECK "))
        argv = [self._path(word) for word in json.loads(check.partition(" CMD ")[2])]
        done = subprocess.run(argv, env=dict(environment), capture_output=True, timeout=30, check=False)
        return done.returncode == 0


def _answers(environment: Mapping[str, str], path: str) -> bool:
    address = environment.get("PROBES_BIND") or environment["BIND"]
    try:
        return httpx.get(f"http://{address}{path}", timeout=5, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


class _Notified:
    """What systemd listens on for a service of Type=notify."""

    def __init__(self) -> None:
        # A socket's path has to be short.
        self._folder = tempfile.TemporaryDirectory(prefix="notify-")
        self.path = Path(self._folder.name) / "socket"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.setblocking(False)
        self._seen = ""

    def is_ready(self) -> bool:
        try:
            self._seen += self._socket.recv(4096).decode()
        except BlockingIOError:
            return False
        if "READY=1" not in self._seen:
            return False
        self._socket.close()
        self._folder.cleanup()
        return True


@contextmanager
def token_endpoint(issuer: Issuer) -> Iterator[str]:
    """Gives the services tokens, as Keycloak does."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({"access_token": issuer.token(sub="a service"), "expires_in": 300}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return make_issuer(tmp_path_factory.mktemp("issuer"))


@pytest.fixture(scope="module")
def prepared(servers: Servers, tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> ServiceCluster:
    """Databases and topics; none of its processes is started."""
    platform = ServiceCluster(
        servers,
        tmp_path_factory.mktemp("prepared"),
        topic=f"manifests-{uuid.uuid4().hex}",
        databases=own_databases("manifests", servers.binder),
        redis_url=redis_database(servers.redis_url, 12),
        issuer=issuer,
    )
    platform.prepare()
    return platform


SOURCES = {"compose": from_compose, "helm": from_helm, "systemd": from_systemd}


@pytest.mark.parametrize("source", SOURCES)
def test_each_process_starts_with_its_environment_and_its_probe_turns_green(
    prepared: ServiceCluster, tmp_path: Path, issuer: Issuer, source: str
) -> None:
    if source == "helm" and helm_program() is None:
        pytest.skip(MISSING)
    launches = {launch.name: launch for launch in SOURCES[source]()}
    first = [launch for launch in launches.values() if launch.name.endswith("-migrate")]
    staying = [launch for launch in launches.values() if launch.probe]
    last = [launch for launch in launches.values() if not launch.probe and launch not in first]
    assert len(first) == 2
    assert {"organization", "licensing", "meter"} < {launch.name for launch in staying}
    with token_endpoint(issuer) as token_url:
        machine = Machine(prepared, tmp_path, issuer, token_url)
        for launch in first:
            machine.run(launch)
        processes = {launch.name: machine.process(launch) for launch in staying}
        tokens = [process for name, process in processes.items() if name.endswith("-token")]
        # It compares its settings with the worker's, and so comes last.
        meter = processes.pop("meter")
        others = [process for process in processes.values() if process not in tokens]
        assert len(tokens) == 2
        try:
            for group in (tokens, others, [meter]):
                start_in_parallel(group)
            for launch in last:
                machine.run(launch)
        finally:
            stop_in_parallel([meter, *others, *tokens])
