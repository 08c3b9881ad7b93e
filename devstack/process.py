"""A supervised child process: started until ready, stopped cleanly, and never left behind."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from devstack.accounts import Account, lowered
from devstack.errors import NotReadyError, PortTakenError, ProcessDiedError
from devstack.ports import listens
from devstack.reaper import Reaper
from devstack.waiting import wait_until

Announce = Callable[[str], None]

_reaper = Reaper()


class SupervisedProcess:
    """One child in a session of its own, so that Ctrl-C on the terminal reaches only the parent, who decides the order.

    `ready` is polled after the start until it is true; it must return quickly and raise nothing. If the child is to
    listen on `port` of 127.0.0.1, another process that answers there instead is a `PortTakenError`. All output goes to
    `log` (appended). The child is stopped, too, if the parent vanishes without a word.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | os.PathLike[str]],
        *,
        log: Path,
        ready: Callable[[], bool],
        port: int | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        account: Account | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        ready_within_s: float = 30.0,
    ) -> None:
        self.name = name
        self.argv = [os.fspath(part) for part in argv]
        self.log = log
        self.env = env
        self.cwd = cwd
        self.stop_signal = stop_signal
        self.log_start = 0
        self._ready = ready
        self._listens_on = port
        self._ready_within_s = ready_within_s
        self._account = account
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The pid of the running child; a `ProcessDiedError` where there is none."""
        if self._child is None:
            raise ProcessDiedError(f"{self.name} has not been started.")
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative for a signal."""
        return self._child.poll() if self._child else None

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def spawn(self) -> Self:
        """Start the child without waiting until it is ready."""
        if self.is_running:
            raise NotReadyError(f"{self.name} is running already.")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        argv, credentials = lowered(self.argv, self._account)
        with self.log.open("ab") as log:
            self.log_start = log.tell()
            self._child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.env,
                cwd=self.cwd,
                start_new_session=True,
                **credentials,
            )
        _reaper.watch(self._child.pid, self.stop_signal)
        return self

    def wait_ready(self) -> Self:
        """Return once it is ready; `ProcessDiedError` or `NotReadyError`, with the end of the log, otherwise.

        `PortTakenError` if another process answers in its place.
        """
        seen = wait_until(lambda: not self.is_running or self._is_ready(), within_s=self._ready_within_s)
        if not self.is_running:
            self.raise_if_dead()
        if not seen:
            raise NotReadyError(
                f"{self.name} was not ready within {self._ready_within_s:.0f} s; its log ends:\n{self.log_tail()}"
            )
        return self

    def _is_ready(self) -> bool:
        if not self._ready():
            return False
        port = self._listens_on
        if port is None or (self.is_running and listens(self.pid, port)):
            return True
        if self.is_running:
            raise PortTakenError(f"{self.name} can't listen on port {port}: another process answers there.")
        return False

    def start(self) -> Self:
        self.spawn()
        try:
            return self.wait_ready()
        except BaseException:
            self.kill()
            raise

    def raise_if_dead(self) -> None:
        """`ProcessDiedError`, with the end of its log, if it ended by itself."""
        if self._child is not None and self._child.poll() is not None:
            self._forget(self._child.pid)
            code = self._child.returncode
            how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
            raise ProcessDiedError(f"{self.name} ended by itself ({how}); its log {self.log} ends:\n{self.log_tail()}")

    def stop(self, within_s: float = 10.0) -> int | None:
        """The clean signal, then, after `within_s`, the hard one. Returns the exit code; harmless if it doesn't run."""
        if self._child is None:
            return None
        if self._child.poll() is None:
            descendants = self._descendants()
            self._send(self.pid, signal.SIGCONT)
            self._send(self.pid, self.stop_signal)
            try:
                self._child.wait(within_s)
            except subprocess.TimeoutExpired:
                self.kill()
            else:
                _kill([process for process in descendants if process.is_running()])
        self._forget(self._child.pid)
        return self._child.returncode

    def kill(self) -> None:
        """SIGKILL to the child and all below it: what a crash of the machine would do to it."""
        if self._child is None:
            return
        if self._child.poll() is None:
            descendants = self._descendants()
            self._child.kill()
            _kill(descendants)
            self._child.wait()
        self._forget(self._child.pid)

    def pause(self) -> None:
        """SIGSTOP to the child and all below it: connections stay open and nobody answers."""
        self._send(self.pid, signal.SIGSTOP)
        for process in self._descendants():
            self._send(process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT; the opposite of `pause`."""
        for process in self._descendants():
            self._send(process.pid, signal.SIGCONT)
        self._send(self.pid, signal.SIGCONT)

    def restart(self) -> Self:
        self.stop()
        return self.start()

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of what it wrote since its last start."""
        if not self.log.exists():
            return "(no log)"
        with self.log.open("rb") as log:
            log.seek(self.log_start)
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:]) or "(empty)"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _descendants(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    @staticmethod
    def _forget(pid: int) -> None:
        """The child is gone. What it should have taken with it goes now: a stray worker would hold its port."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        _reaper.forget(pid)

    @staticmethod
    def _send(pid: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=5)


def start_in_parallel(processes: Sequence[SupervisedProcess], announce: Announce = lambda _text: None) -> None:
    """Return when every one is ready. If one fails, all are stopped and its failure is raised."""

    def start(process: SupervisedProcess) -> None:
        process.start()
        announce(f"{process.name} is up")

    with ExitStack() as started:
        started.callback(stop_in_parallel, processes)
        with ThreadPoolExecutor(max(1, len(processes))) as pool:
            # list() raises the first failure; the others have finished starting by the end of the `with`.
            list(pool.map(start, processes))
        started.pop_all()


def stop_in_parallel(processes: Sequence[SupervisedProcess]) -> None:
    with ThreadPoolExecutor(max(1, len(processes))) as pool:
        list(pool.map(lambda process: process.stop(), processes))
