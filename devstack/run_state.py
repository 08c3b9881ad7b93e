"""What `run` keeps in `.local/` from one time to the next: its data, its ports, its secrets; and who is running now."""

import fcntl
import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import psutil

from devstack.environment import LOCAL
from devstack.errors import AlreadyRunningError, StackError
from devstack.waiting import wait_until

DEFAULT_DATA = LOCAL / "run"
SECRETS = "secrets.json"
ISSUER = "issuer"
# A run that was killed leaves its servers to the reaper, which needs this long at most to stop them.
_AFTERMATH_S = 15.0


class RunLock:
    """Held for as long as a run, or what it left behind, is alive. The file holds the pid."""

    def __init__(self, data: Path) -> None:
        self._data = data
        # Beside the data, which `--fresh` removes.
        lock = data.with_name(f"{data.name}.lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        self._file = lock.open("a+")
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


def forget(data: Path) -> None:
    """Start over: databases, cache, log, ports and secrets of our own servers. Kafka's jars stay."""
    if not data.exists():
        return
    # The folder is what the person said, and they may have said their home.
    if any(data.iterdir()) and not (data / SECRETS).exists():
        raise StackError(f"{data} is not the data of a run, and is not deleted.")
    shutil.rmtree(data)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made once, readable by their owner alone, never committed."""

    organization_secret_key: str
    licensing_secret_key: str
    admin_password: str

    @classmethod
    def load(cls, file: Path) -> Self:
        generated = cls(secrets.token_urlsafe(50), secrets.token_urlsafe(50), secrets.token_urlsafe(12))
        kept = json.loads(file.read_text()) if file.exists() else {}
        # A run of before had one key for both services: each gets one of its own, and the password stays.
        values = {name: kept.get(name, value) for name, value in asdict(generated).items()}
        if values != kept:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(json.dumps(values, indent=2) + "\n")
        return cls(**values)
