"""Run the tests on real servers: ./manage_scripts/test [options] [paths and options of pytest]

PostgreSQL, Valkey and Kafka are started on free ports in a temporary folder, unless DATABASE_URL, REDIS_URL or
KAFKA_BOOTSTRAP_SERVERS (EVENT_REDIS_URL, RABBITMQ_URL) name your own, and are gone afterwards. The tests run in one
pytest session per Django project, and those of tests/e2e/each_binder in one per platform that carries messages,
RabbitMQ where it is installed; the last lines name the slowest tests and sum up. Without a path, two sessions run
side by side, each on servers of its own. Options:

    --unit         only what needs no server (tests/unit, tests/model)
    --keep         leave the servers up for the next call with --keep, which finds them empty and starts in a second
    --stop         end the servers that --keep left
    --jobs N       so many sessions side by side
    --coverage     report the lines that no test reaches, in every process; pages in .local/coverage/html
    --deep         repeat for statistical weight: more rounds of each fault, 1,000 forced races, 10,000 fuzzed
                   messages, the large configurations of the model, and a Spring Cloud Stream
                   service at the other end (with Maven and a JDK)
    --binder NAME  that platform ({binders}) alone; what needs another one is skipped, and so is what needs one
                   that can't be had on this machine

Examples:

    ./manage_scripts/test --unit
    ./manage_scripts/test --keep tests/org_project/test_api.py
    ./manage_scripts/test tests/model -k lease
    ./manage_scripts/test --binder kafka tests/e2e -x --tb short
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType

import pytest

from devstack import kept_servers, servers
from devstack.environment import ROOT
from devstack.errors import StackError
from devstack.servers import BINDERS, DEFAULT_BINDER, Servers, start_servers
from devstack.test_outcome import FILE_VARIABLE, Outcome
from devstack.test_sessions import (
    SESSION_VARIABLE,
    TESTS,
    UNIT_SESSIONS,
    Brokers,
    Session,
    concerned,
    needs_servers,
    split_arguments,
)

# What the services' settings ask for and no server gives. Nothing listens there: a test that calls sets its own.
_SERVICE_SETTINGS = {
    "SECRET_KEY": "for-tests-only-" + "0123456789" * 5,
    "ORGANIZATION_SERVICE_URL": "http://127.0.0.1:1",
    # A test that is about tokens says whose.
    "AUTH_REQUIRED": "false",
}
# For settings to load in a session that talks to no server. Nothing listens there.
_NO_SERVERS = {
    "DATABASE_URL": "postgresql://127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "EVENT_BINDER": "kafka",
}
# How often what has statistical weight is repeated, and what takes a minute to build. Read by the tests: the defaults
# are theirs.
_DEEP = {
    "FAULT_ROUNDS": "4",
    "FAULT_CHANGES": "1000",
    "FORCED_RACES": "1000",
    "FUZZED_MESSAGES": "10000",
    "HISTORY_READS": "1500",
    "MODEL_STATES": "1000000",
    "SPRING_CLOUD_STREAM": "true",
}
# The searches that fit into seconds.
_UNIT = {"MODEL_STATES": "5000"}
# With these pytest talks to the person at the terminal.
_ONE_AT_A_TIME = ("-s", "--capture=no", "--pdb", "--trace")
_JOBS = 2
_TIDY_UP_S = 10.0
# Where one of these names the person's own server, sessions that run side by side would share it.
_OWN_SERVERS = ("DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS", "EVENT_REDIS_URL", "RABBITMQ_URL")


@dataclass(frozen=True, slots=True)
class _Run:
    """One pytest process: its session, and the platform that carries its messages where the session runs on each."""

    session: Session
    binder: str | None = None

    @property
    def name(self) -> str:
        return f"{self.session.name} on {self.binder}" if self.binder else self.session.name


def main(arguments: Sequence[str]) -> int:
    if {"--help", "-h"} & set(arguments):
        print((__doc__ or "").format(binders=", ".join(BINDERS)))
        return 0
    signal.signal(signal.SIGTERM, _interrupt)
    # Paths are those of the checkout.
    os.chdir(ROOT)
    own = argparse.ArgumentParser(prog="test", add_help=False, allow_abbrev=False)
    own.add_argument("--binder", choices=BINDERS)
    own.add_argument("--jobs", type=int, choices=range(1, 9))
    for option in ("--unit", "--keep", "--stop", "--deep", "--coverage"):
        own.add_argument(option, action="store_true")
    mine, pytests = own.parse_known_args(arguments)
    if mine.stop:
        return _stop_kept()
    try:
        paths, options = split_arguments(pytests)
    except StackError as error:
        print(error, file=sys.stderr)
        return int(pytest.ExitCode.USAGE_ERROR)
    selections = paths
    if mine.unit and not paths:
        selections = [str(TESTS / folder) for session in UNIT_SESSIONS for folder in session.folders]
    sessions = concerned(selections)
    if mine.unit:
        sessions = {session: chosen for session, chosen in sessions.items() if session in UNIT_SESSIONS}
    repetitions = {**(_UNIT if mine.unit else {}), **(_DEEP if mine.deep else {})}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="test-")))
        # PostgreSQL, started by root, runs as somebody else, who has to get to its data.
        folder.chmod(0o711)
        try:
            binders, notices = list[str](), list[str]()
            if needs_servers(selections) and not mine.unit:
                binders, notices = _binders(mine.binder, sessions)
            runs = _runs(sessions, binders)
            jobs = mine.jobs or (
                1 if paths or mine.keep or any(o.startswith(_ONE_AT_A_TIME) for o in options) else _JOBS
            )
            if mine.keep or any(os.environ.get(name) for name in _OWN_SERVERS):
                jobs = 1
            pytest_runs = _PytestRuns(sessions, options, folder, repetitions, jobs > 1, mine.coverage)
            lanes = [partial(_servers, stack, folder / f"lane-{number}", binders, mine.keep) for number in range(jobs)]
            pytest_runs.work_off(runs, lanes)
        except StackError as error:
            print(error, file=sys.stderr)
            return 1
    if mine.coverage:
        _report_coverage()
    return _conclude(pytest_runs.outcome, pytest_runs.codes, notices)


def _stop_kept() -> int:
    try:
        print("Stopped." if kept_servers.stop() else "No servers were kept.")
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


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
    if sys.stdout.isatty():
        print(f"\rFetching Kafka, once: jar {fetched} of {total}", end="" if fetched < total else "\n", flush=True)
    elif fetched == total:
        print(f"Fetched Kafka, once: {total} jars")


def _report_coverage() -> None:
    for command in ("combine --quiet", "report", "html --quiet"):
        subprocess.run([sys.executable, "-m", "coverage", *command.split()], cwd=ROOT, check=False)


def _servers(stack: ExitStack, folder: Path, binders: Sequence[str], keep: bool) -> Servers | None:
    """Those that carry these platforms, up until the stack is left. None where no platform is needed."""
    if not binders:
        return None
    if keep:
        servers = stack.enter_context(kept_servers.held(binders))
    else:
        print(f"Starting PostgreSQL, Valkey, {', '.join(BINDERS[binder] for binder in binders)}", flush=True)
        servers = start_servers(folder, durable=False, binders=binders)
        stack.callback(servers.stop)
    for session_database in ("organization", "licensing"):
        servers.create_database(session_database)
    return servers


def _runs(sessions: Iterable[Session], binders: Sequence[str]) -> list[_Run]:
    return [
        _Run(session, binder)
        for session in sessions
        for binder in (binders if session.brokers is Brokers.EACH and binders else [None])
    ]


@dataclass(slots=True)
class _PytestRuns:
    """Runs pytest processes, and adds up what came of them."""

    sessions: Mapping[Session, Sequence[str]]
    options: Sequence[str]
    folder: Path
    repetitions: Mapping[str, str]
    side_by_side: bool
    coverage: bool
    outcome: Outcome = field(default_factory=Outcome)
    codes: list[int] = field(default_factory=list)
    _alive: set["subprocess.Popen[str]"] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def work_off(self, runs: Iterable[_Run], lanes: Sequence[Callable[[], Servers | None]]) -> None:
        """Each lane takes one run after another, and starts its servers before the first that needs any."""
        queue = deque(runs)

        def work(start: Callable[[], Servers | None]) -> None:
            servers = None
            while True:
                try:
                    run = queue.popleft()
                except IndexError:
                    return
                if servers is None and run.session.brokers is not Brokers.NONE:
                    servers = start()
                self._execute(run, servers.carried_by(run.binder) if servers and run.binder else servers)

        with ThreadPoolExecutor(len(lanes)) as pool:
            working = [pool.submit(work, start) for start in lanes]
            try:
                for lane in as_completed(working):
                    lane.result()
            except BaseException:
                queue.clear()
                for process in tuple(self._alive):
                    _end(process)
                raise

    def _execute(self, run: _Run, servers: Servers | None) -> None:
        session, options = run.session, self.options
        file = self.folder / f"{run.name}.json"
        plugin = ["-p", "devstack.test_outcome"]
        measured = ["-m", "coverage", "run"] if self.coverage else []
        argv = [sys.executable, *measured, "-m", "pytest", *plugin, *self.sessions[session], *options]
        # What the person's own environment says goes before ours.
        environment = {**self.repetitions, **_environment(session, servers), FILE_VARIABLE: str(file)}
        print(f"\n--- {run.name} ---", flush=True)
        output = subprocess.PIPE if self.side_by_side else None
        with subprocess.Popen(
            argv, cwd=ROOT, env=environment, stdout=output, stderr=output and subprocess.STDOUT, text=True
        ) as process:
            self._alive.add(process)
            for line in process.stdout or ():
                # Whole at once: the last one may have no end of its own.
                sys.stdout.write(f"{run.name} | {line.rstrip()}\n")
                sys.stdout.flush()
            code = process.wait()
            self._alive.discard(process)
        outcome = Outcome.read(file)
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) and outcome.failed == 0:
            # It broke before it could count, or was interrupted: that is no success.
            outcome.failed = 1
        with self._lock:
            self.outcome += outcome
            self.codes.append(code)


def _environment(session: Session, servers: Servers | None) -> dict[str, str]:
    environment = {**_SERVICE_SETTINGS, **os.environ}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    environment[SESSION_VARIABLE] = session.name
    if session.settings is not None:
        environment["DJANGO_SETTINGS_MODULE"] = session.settings
        # Rows that a thread of pytest's own process wrote would be in no test's transaction.
        environment["TRACE_RECORD"] = "false"
    if session.python_path is not None:
        environment["PYTHONPATH"] = str(session.python_path)
    if servers is not None:
        environment["DATABASE_URL"] = servers.database_url(session.database)
        environment["REDIS_URL"] = servers.redis_url
        environment |= servers.messaging
    if session.brokers is Brokers.NONE:
        environment |= _NO_SERVERS
    return environment


def _end(process: "subprocess.Popen[str]") -> None:
    """As Ctrl-C does, so that it tidies up; but what a shell started in the background ignores that."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_TIDY_UP_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _conclude(outcome: Outcome, codes: Sequence[int], notices: Sequence[str]) -> int:
    print()
    if outcome.reasons:
        print("Skipped:")
        for reason, count in outcome.reasons.most_common():
            print(f"  {count} x {reason}")
    for notice in notices:
        print(f"! {notice}")
    if slowest := outcome.slowest:
        print(f"The {len(slowest)} slowest tests:")
        for name, seconds in slowest:
            print(f"  {seconds:6.1f} s  {name}")
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
