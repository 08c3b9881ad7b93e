"""The servers that `./manage_scripts/test --keep` leaves up, held by a process of their own until it is told to stop.

Its folder in `.local/` says how to reach them. Nobody else starts, uses or ends them while one run works with them.
"""

import dataclasses
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil
import psycopg
import redis
from psycopg import sql

from devstack.environment import LOCAL, ROOT
from devstack.errors import StackError
from devstack.servers import Servers, start_servers
from devstack.waiting import wait_until

_FOLDER = LOCAL / "kept"
_STATE = _FOLDER / "state.json"
_START_WITHIN_S = 120.0
_STOP_WITHIN_S = 60.0


@contextmanager
def held(binders: Sequence[str]) -> Iterator[Servers]:
    """Those of the last call, emptied, if they carry these platforms; otherwise new ones, which stay up."""
    with _alone():
        servers = _running()
        if servers is not None and set(binders) <= set(servers.binders):
            _empty(servers)
        else:
            _stop()
            servers = _start(binders)
        yield servers.carried_by(binders[0])


def stop() -> bool:
    """Whether there were any."""
    with _alone():
        return _stop()


@contextmanager
def _alone() -> Iterator[None]:
    LOCAL.mkdir(parents=True, exist_ok=True)
    with (LOCAL / "kept.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError("Another run works with the kept servers: wait for it, or leave out --keep.") from None
        yield


def _running() -> Servers | None:
    if _keeper() is None:
        return None
    content = json.loads(_STATE.read_text())
    return Servers(**content["servers"])


def _keeper() -> psutil.Process | None:
    """The process that holds the servers, if it is alive, and is not another that was given its number."""
    if not _STATE.exists():
        return None
    content = json.loads(_STATE.read_text())
    try:
        process = psutil.Process(content["pid"])
        return process if process.create_time() == content["began"] else None
    except psutil.NoSuchProcess:
        return None


def _start(binders: Sequence[str]) -> Servers:
    shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir(parents=True)
    print("Starting servers that stay up until ./manage_scripts/test --stop", flush=True)
    with (_FOLDER / "log").open("w") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "devstack.kept_servers", *binders],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    wait_until(lambda: _STATE.exists() or keeper.poll() is not None, within_s=_START_WITHIN_S, every_s=0.1)
    servers = _running()
    if servers is None:
        keeper.terminate()
        raise StackError(f"The servers did not start:\n{(_FOLDER / 'log').read_text()}")
    # It outlives this process on purpose, which is no mistake to be warned of.
    keeper.returncode = 0
    return servers


def _stop() -> bool:
    keeper = _keeper()
    if keeper is None:
        return False
    keeper.send_signal(signal.SIGTERM)
    keeper.wait(_STOP_WITHIN_S)
    shutil.rmtree(_FOLDER, ignore_errors=True)
    return True


def _empty(servers: Servers) -> None:
    """What a run left in the databases and caches would be in the way of the next. Topics have names of their own."""
    with psycopg.connect(servers.database_server_url, autocommit=True) as connection:
        names = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> current_database()"
        for (name,) in connection.execute(names).fetchall():
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    for url in filter(None, (servers.redis_url, servers.event_redis_url)):
        with redis.Redis.from_url(url) as client:
            client.flushall()


def _keep(binders: Sequence[str]) -> None:
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: told.set())
    for folder in (LOCAL, _FOLDER):
        # PostgreSQL, started by root, runs as somebody else, who has to get to its data.
        folder.chmod(0o711)
    servers = start_servers(_FOLDER / "servers", durable=False, binders=binders)
    try:
        fields = {field.name for field in dataclasses.fields(servers)} - {"processes", "kafka_security"}
        content = {
            "pid": os.getpid(),
            "began": psutil.Process().create_time(),
            "servers": {name: getattr(servers, name) for name in fields},
        }
        # Whole or not there: the run that waits for it reads it at once.
        made = _STATE.with_suffix(".new")
        made.write_text(json.dumps(content))
        made.replace(_STATE)
        told.wait()
    finally:
        servers.stop()


if __name__ == "__main__":
    _keep(sys.argv[1:])
