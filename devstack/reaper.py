"""Stops the children of a process that has ended, even by SIGKILL.

The reaper reads `+pid signal` and `-pid` lines from its parent and, at the end of the file, stops
every process group still on its list. That works on Linux and macOS alike, and for children that a thread started
(PR_SET_PDEATHSIG fires when the starting *thread* ends, which is not the same thing).

Run as a script, it imports nothing of this project.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

_CLEAN_STOP_S = 10.0


class Reaper:
    """The parent's end. Its process starts with the first child to guard."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0

    def watch(self, pid: int, stop_signal: signal.Signals) -> None:
        """Stop the process group `pid`, beginning with `stop_signal`, should this process vanish."""
        self._tell(f"+{pid} {int(stop_signal)}")

    def forget(self, pid: int) -> None:
        """The process has ended; its pid may soon be somebody else's."""
        self._tell(f"-{pid}")

    def _tell(self, line: str) -> None:
        with self._lock:
            # A forked copy of this process is not the parent of these children: it gets a reaper of its own.
            if self._process is None or self._process.poll() is not None or self._owner != os.getpid():
                self._owner = os.getpid()
                # A file made inheritable (the lock of a run) stays open until the last child is gone.
                self._process = subprocess.Popen(
                    [sys.executable, "-S", "-E", __file__],
                    stdin=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                    close_fds=False,
                )
            assert self._process.stdin is not None
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _send(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def main() -> None:
    """The reaper's own process: read until the parent is gone, then stop what is left."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: dict[int, int] = {}
    for line in sys.stdin:
        pid, _, number_text = line[1:].strip().partition(" ")
        if line.startswith("+"):
            groups[int(pid)] = int(number_text)
        else:
            groups.pop(int(pid), None)
    for group, number in groups.items():
        _send(group, signal.SIGCONT)
        _send(group, number)
    deadline = time.monotonic() + _CLEAN_STOP_S
    while time.monotonic() < deadline and any(_is_alive(group) for group in groups):
        time.sleep(0.05)
    for group in groups:
        _send(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
