import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from devstack import SupervisedProcess, wait_until
from devstack.environment import ROOT
from devstack.errors import NotReadyError, ProcessDiedError

TICKS = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
while True:
    print("tick", flush=True)
    time.sleep(0.005)
"""
DIES = "print('no such setting: COLOUR'); raise SystemExit(3)"
SILENT = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('tick', flush=True); time.sleep(600)"

# A parent that starts a child, says its pid, and then is killed by the test.
PARENT = """
import sys, time
from pathlib import Path
from devstack import SupervisedProcess
log = Path(sys.argv[1])
program = [sys.executable, "-c", sys.argv[2]]
child = SupervisedProcess("child", program, log=log, ready=lambda: "tick" in log.read_text())
print(child.start().pid, flush=True)
time.sleep(600)
"""


def make(folder: Path, source: str, ready_within_s: float = 10) -> SupervisedProcess:
    log = folder / "program.log"
    return SupervisedProcess(
        "The program",
        [sys.executable, "-c", source],
        log=log,
        ready=lambda: "tick" in log.read_text(),
        ready_within_s=ready_within_s,
    )


@pytest.fixture
def ticking(tmp_path: Path) -> Iterator[SupervisedProcess]:
    """Started; it has a child of its own, logs for ever, and exits with 7 when asked to stop."""
    with make(tmp_path, TICKS) as process:
        yield process


def grows(log: Path) -> bool:
    before = log.stat().st_size
    return wait_until(lambda: log.stat().st_size > before, within_s=5)


def test_stop_sends_the_clean_signal_and_takes_the_grandchildren_along(ticking: SupervisedProcess) -> None:
    [grandchild] = psutil.Process(ticking.pid).children()
    assert ticking.stop() == 7
    assert not grandchild.is_running()
    assert not ticking.is_running


def test_stop_is_harmless_twice_and_before_the_start(ticking: SupervisedProcess, tmp_path: Path) -> None:
    ticking.stop()
    assert ticking.stop() == 7
    assert make(tmp_path, TICKS).stop() is None


def test_a_process_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    with make(tmp_path, DEAF) as deaf:
        assert deaf.stop(within_s=0.2) == -signal.SIGKILL


def test_kill_takes_all_below_it(ticking: SupervisedProcess) -> None:
    [grandchild] = psutil.Process(ticking.pid).children()
    ticking.kill()
    assert ticking.returncode == -signal.SIGKILL
    assert not grandchild.is_running()


def test_pause_and_resume(ticking: SupervisedProcess) -> None:
    ticking.pause()
    assert wait_until(lambda: psutil.Process(ticking.pid).status() == psutil.STATUS_STOPPED, within_s=5)
    ticking.resume()
    assert grows(ticking.log)


def test_a_paused_process_can_be_stopped(ticking: SupervisedProcess) -> None:
    ticking.pause()
    assert ticking.stop() == 7


def test_restart_gives_another_process(ticking: SupervisedProcess) -> None:
    before = ticking.pid
    ticking.restart()
    assert ticking.pid != before
    assert grows(ticking.log)


def test_one_that_ends_at_the_start_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ProcessDiedError, match=r"program ended by itself \(exit code 3\)[^\n]*\nno such setting"):
        make(tmp_path, DIES).start()


def test_one_that_is_never_ready_is_reported_and_not_left_behind(tmp_path: Path) -> None:
    silent = make(tmp_path, SILENT, ready_within_s=0.3)
    with pytest.raises(NotReadyError, match="The program was not ready within"):
        silent.start()
    assert not silent.is_running


def test_one_that_is_killed_from_outside_is_noticed_and_leaves_nothing(ticking: SupervisedProcess) -> None:
    ticking.raise_if_dead()
    [grandchild] = psutil.Process(ticking.pid).children()
    os.kill(ticking.pid, signal.SIGKILL)
    assert wait_until(lambda: not ticking.is_running, within_s=5)
    with pytest.raises(ProcessDiedError, match="signal SIGKILL"):
        ticking.raise_if_dead()
    assert wait_until(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE, within_s=5)


def test_no_child_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "child.log"), TICKS]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
    assert wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, within_s=15)
