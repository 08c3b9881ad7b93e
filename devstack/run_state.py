"""What `run` keeps in `.local/` from one time to the next: its data, its ports, its secrets; and who is running now."""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from devstack.accounts import make_private
from devstack.environment import LOCAL
from devstack.errors import AlreadyRunningError, StackError
from devstack.waiting import wait_until

DEFAULT_DATA = LOCAL / "run"
LOCK = "run.lock"
SECRETS = "secrets.json"
ISSUER = "issuer"
# A run that was killed leaves its servers to the reaper, which needs this long at most to stop them.
_AFTERMATH_S = 15.0
# The databases know them, so others would not do.
_START_OVER = "start over with --fresh, which deletes the data as well."


class RunLock:
    """Held for as long as a run, or what it left behind, is alive. The file, beside the data, holds the pid."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._file = (data / LOCK).open("a+")
        # The reaper inherits it, and with it the lock.
        os.set_inheritable(self._file.fileno(), True)

    def acquire(self) -> None:
        """Take the lock, or say who has it."""
        pid = self.holder()
        patience_s = 0.0 if pid is not None and _is_alive(pid) else _AFTERMATH_S
        if not wait_until(self.is_free, within_s=patience_s):
            raise AlreadyRunningError(
                f"Another run (pid {pid}) works on the data in {self._data}: stop it with Ctrl-C there or with "
                "./manage_scripts/stop, or choose another folder with --data."
            )
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def holder(self) -> int | None:
        """The pid of the last run, which may be over; None if there was none."""
        self._file.seek(0)
        text = self._file.read()
        return int(text) if text.isdigit() else None

    def is_free(self) -> bool:
        """Whether nobody runs; takes the lock if so."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        self._file.close()


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_running(data: Path) -> bool:
    """Whether a run works on this data. Makes nothing where there is none."""
    if not (data / LOCK).exists():
        return False
    lock = RunLock(data)
    try:
        return not lock.is_free()
    finally:
        lock.release()


def running_environment(data: Path, service: str) -> dict[str, str]:
    """Return the environment of a service (`SERVICE_NAME`) of the run on this data. Raises StackError if none is up.

    It is that of the process itself, so it has what the shell of `run` set. Nothing keeps it on a disk.
    """
    pid = RunLock(data).holder() if is_running(data) else None
    if pid is None or not _is_alive(pid):
        raise StackError(f"Nothing runs on the data in {data}: start ./manage_scripts/run first.")
    for child in psutil.Process(pid).children():
        with suppress(psutil.Error):
            environment = child.environ()
            if environment.get("SERVICE_NAME") == service:
                return environment
    raise StackError(f"The run on the data in {data} is only starting: wait until it is up.")


def make_data(data: Path) -> None:
    """Make the folder where it is missing. Raises StackError for one that holds what no run has made."""
    if data.exists() and not data.is_dir():
        raise StackError(f"{data} is a file: choose a folder with --data.")
    # The folder is what the person said, and they may have said their home: --fresh would empty it.
    if data.exists() and any(data.iterdir()) and not any((data / name).exists() for name in (LOCK, SECRETS)):
        raise StackError(f"{data} is not the data of a run, and is left alone: choose another folder with --data.")
    make_private(data)


def forget(data: Path) -> None:
    """Start over: databases, cache, log, ports, secrets of our own servers. The lock and Kafka's jars stay."""
    for path in data.iterdir():
        if path.name == LOCK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def write_private(file: Path, values: Mapping[str, Any]) -> None:
    """Write JSON that nobody but the owner may read."""
    file.touch(mode=0o600)
    file.write_text(json.dumps(values, indent=2) + "\n")


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made once, readable by their owner alone, never committed."""

    organization_secret_key: str
    licensing_secret_key: str
    admin_password: str

    @classmethod
    def load(cls, file: Path) -> Self:
        generated = cls(secrets.token_urlsafe(50), secrets.token_urlsafe(50), secrets.token_urlsafe(12))
        kept = _kept(file) if file.exists() else {}
        # A run of before had one key for both services: each gets one of its own, and the password stays.
        values = {name: kept.get(name, value) for name, value in asdict(generated).items()}
        if values != kept:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_private(file, values)
        return cls(**values)


def _kept(file: Path) -> Mapping[str, str]:
    try:
        kept = json.loads(file.read_text())
    except ValueError as error:
        raise StackError(f"The secrets of the run, {file}, can't be read ({error}): {_START_OVER}") from None
    if not isinstance(kept, dict) or not all(isinstance(value, str) and value for value in kept.values()):
        raise StackError(f"The secrets of the run, {file}, should be texts, each with a name: {_START_OVER}")
    return kept
