"""Run the tests on real servers: ./manage_scripts/test [--binder NAME] [paths and options of pytest]

PostgreSQL, Valkey and Kafka are started on free ports in a temporary folder, unless DATABASE_URL, REDIS_URL or
KAFKA_BOOTSTRAP_SERVERS (EVENT_REDIS_URL, RABBITMQ_URL) name your own, and are gone afterwards. The tests run in one
pytest session per Django project, and those of tests/e2e in one per platform that carries messages, RabbitMQ where
it is installed; the last line sums up. With --binder ({binders}) there is that platform alone, and what
needs another one is skipped; so it is with one that can't be had on this machine. Examples:

    ./manage_scripts/test
    ./manage_scripts/test tests/model -k lease
    ./manage_scripts/test --binder kafka tests/e2e -x --tb short
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

import pytest

from devstack import servers
from devstack.environment import ROOT
from devstack.errors import StackError
from devstack.servers import BINDERS, DEFAULT_BINDER, Servers, start_servers
from devstack.test_outcome import FILE_VARIABLE, Outcome
from devstack.test_sessions import SESSION_VARIABLE, Brokers, Session, concerned, needs_servers, split_arguments

# What the services' settings ask for and no server gives. Nothing listens there: a test that calls sets its own.
_SERVICE_SETTINGS = {
    "SECRET_KEY": "for-tests-only-" + "0123456789" * 5,
    "ORGANIZATION_SERVICE_URL": "http://127.0.0.1:1",
    # A test that is about tokens says whose.
    "AUTH_REQUIRED": "false",
}


def main(arguments: Sequence[str]) -> int:
    if {"--help", "-h"} & set(arguments):
        print((__doc__ or "").format(binders=", ".join(BINDERS)))
        return 0
    signal.signal(signal.SIGTERM, _interrupt)
    own = argparse.ArgumentParser(prog="test", add_help=False, allow_abbrev=False)
    own.add_argument("--binder", choices=BINDERS)
    mine, pytests = own.parse_known_args(arguments)
    selections, options = split_arguments(pytests)
    if missing := [option for option in options if option.startswith("tests/") or "::" in option]:
        print(f"No such path: {', '.join(missing)}.", file=sys.stderr)
        return int(pytest.ExitCode.USAGE_ERROR)
    sessions = concerned(selections)
    with tempfile.TemporaryDirectory(prefix="test-") as temporary:
        folder = Path(temporary)
        # PostgreSQL, started by root, runs as somebody else, who has to get to its data.
        folder.chmod(0o711)
        servers, notices = None, list[str]()
        try:
            if needs_servers(selections):
                binders, notices = _binders(mine.binder, sessions)
                servers = _start(folder, binders)
        except StackError as error:
            print(error, file=sys.stderr)
            return 1
        try:
            outcome, codes = _run_all(sessions, options, servers, folder)
        finally:
            if servers is not None:
                servers.stop()
    return _conclude(outcome, codes, notices)


def _binders(chosen: str | None, sessions: Iterable[Session]) -> tuple[list[str], list[str]]:
    """Those that these sessions need and can have, and what is to be said of those that they can't.

    The first one carries the messages where a session runs on one alone. Raises StackError for one that was asked for.
    """
    if chosen is not None:
        servers.fetch(chosen, _progress)
        return [chosen], []
    found, notices = [], []
    for binder in _wanted({session.brokers for session in sessions}):
        try:
            servers.fetch(binder, _progress)
        except StackError as error:
            left_out = f"Nothing runs on {BINDERS[binder]}: {error}"
            notices.append(servers.notice(error) if binder == DEFAULT_BINDER else left_out)
        else:
            found.append(binder)
    for notice in notices:
        print(f"! {notice}", file=sys.stderr, flush=True)
    return found or [servers.FALLBACK_BINDER], notices


def _wanted(brokers: Collection[Brokers]) -> list[str]:
    """RabbitMQ only where whole sessions run on it: it takes seconds to start, and single tests start it themselves."""
    if Brokers.EACH in brokers:
        return list(BINDERS)
    return [binder for binder in BINDERS if binder != "rabbitmq"] if Brokers.ALL in brokers else [DEFAULT_BINDER]


def _progress(fetched: int, total: int) -> None:
    print(f"\rFetching Kafka, once: jar {fetched} of {total}", end="" if fetched < total else "\n", flush=True)


def _start(folder: Path, binders: Sequence[str]) -> Servers:
    print(f"Starting PostgreSQL, Valkey, {', '.join(BINDERS[binder] for binder in binders)}", flush=True)
    servers = start_servers(folder / "servers", durable=False, binders=binders)
    for session_database in ("organization", "licensing"):
        servers.create_database(session_database)
    return servers


def _run_all(
    sessions: Mapping[Session, Sequence[str]], options: Sequence[str], servers: Servers | None, folder: Path
) -> tuple[Outcome, list[int]]:
    total, codes = Outcome(), []
    for session, name, on in _runs(sessions, servers):
        print(f"\n--- {name} ---", flush=True)
        file = folder / f"{name}.json"
        argv = [sys.executable, "-m", "pytest", "-p", "devstack.test_outcome", *sessions[session], *options]
        environment = _environment(session, on) | {FILE_VARIABLE: str(file)}
        code = subprocess.run(argv, cwd=ROOT, env=environment, check=False).returncode
        outcome = Outcome.read(file)
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) and outcome.failed == 0:
            # It broke before it could count, or was interrupted: that is no success.
            outcome.failed = 1
        total += outcome
        codes.append(code)
    return total, codes


def _runs(sessions: Iterable[Session], servers: Servers | None) -> Iterator[tuple[Session, str, Servers | None]]:
    """Each pytest process: its session, its name, and the servers it is told of."""
    for session in sessions:
        if session.brokers is Brokers.EACH and servers is not None:
            for binder in servers.binders:
                yield session, f"{session.name} on {binder}", servers.carried_by(binder)
        else:
            yield session, session.name, servers


def _environment(session: Session, servers: Servers | None) -> dict[str, str]:
    environment = {**_SERVICE_SETTINGS, **os.environ}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    environment[SESSION_VARIABLE] = session.name
    if session.settings is not None:
        environment["DJANGO_SETTINGS_MODULE"] = session.settings
    if session.python_path is not None:
        environment["PYTHONPATH"] = str(session.python_path)
    if servers is not None:
        environment["DATABASE_URL"] = servers.database_url(session.database)
        environment["REDIS_URL"] = servers.redis_url
        environment |= servers.messaging
    return environment


def _conclude(outcome: Outcome, codes: Sequence[int], notices: Sequence[str]) -> int:
    print()
    if outcome.reasons:
        print("Skipped:")
        for reason, count in outcome.reasons.most_common():
            print(f"  {count} x {reason}")
    for notice in notices:
        print(f"! {notice}")
    if all(code == pytest.ExitCode.NO_TESTS_COLLECTED for code in codes):
        print("No test was selected: look at the path and at -k.")
    print(f"{outcome.passed} passed, {outcome.failed} failed, {outcome.skipped} skipped")
    if outcome.failed:
        return int(pytest.ExitCode.TESTS_FAILED)
    return 0 if pytest.ExitCode.OK in codes else int(pytest.ExitCode.NO_TESTS_COLLECTED)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
