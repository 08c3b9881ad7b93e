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

from manage_scripts.stack.errors import AlreadyRunningError
from manage_scripts.stack.paths import LOCAL
from manage_scripts.stack.waiting import wait_until

DATA = LOCAL / "run"
_LOCK = LOCAL / "run.lock"
# A run that was killed leaves its servers to the guardian, which needs this long at most to stop them.
_AFTERMATH_S = 15.0


class RunLock:
    """Held for as long as a run, or what it left behind, is alive. The file holds the pid."""

    def __init__(self) -> None:
        LOCAL.mkdir(exist_ok=True)
        self._file = _LOCK.open("a+")
        # The guardian inherits it, and with it the lock.
        os.set_inheritable(self._file.fileno(), True)

    def acquire(self) -> None:
        """Take the lock, or say who has it."""
        pid = holder()
        patience_s = 0.0 if pid is not None and psutil.pid_exists(pid) else _AFTERMATH_S
        if not wait_until(self._try, within_s=patience_s):
            raise AlreadyRunningError(
                f"Another run (pid {pid}) works on the data in {LOCAL.name}/: stop it with Ctrl-C there, "
                "or with ./manage_scripts/stop."
            )
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        self._file.close()

    def is_free(self) -> bool:
        """Whether nobody runs; takes the lock if so."""
        return self._try()

    def _try(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def holder() -> int | None:
    """The pid of the last run, which may be over; None if there was none."""
    text = _LOCK.read_text() if _LOCK.exists() else ""
    return int(text) if text.isdigit() else None


def forget_data() -> None:
    """Start over: databases, cache, log, ports and secrets of our own servers. Kafka's jars stay."""
    shutil.rmtree(DATA, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made once, readable by their owner alone, never committed."""

    secret_key: str
    admin_password: str

    @classmethod
    def load(cls, file: Path) -> Self:
        if file.exists():
            return cls(**json.loads(file.read_text()))
        made = cls(secret_key=secrets.token_urlsafe(50), admin_password=secrets.token_urlsafe(12))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(json.dumps(asdict(made), indent=2) + "\n")
        return made
