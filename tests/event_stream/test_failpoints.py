"""A place ends the process that was told so, when it was told so, and no other."""

import os
import signal
import subprocess
import sys

import pytest

from event_stream.failpoints import VARIABLE, Crashed, FailPoint, armed, reached

POINT, OTHER = FailPoint.OUTBOX_SENT_NOT_MARKED, FailPoint.WORKER_BATCH_IN_HAND
PASSES_THREE_TIMES = f"""
from event_stream.failpoints import FailPoint, reached
for number in range(3):
    reached(FailPoint.{OTHER.name})
    print(number, flush=True)
    reached(FailPoint.{POINT.name})
"""


def process(crash_at: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PASSES_THREE_TIMES]
    environment = {**os.environ, VARIABLE: crash_at}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("crash_at", "passed", "code"),
    [
        ("", "0\n1\n2\n", 0),
        (POINT, "0\n", -signal.SIGKILL),
        (f"{POINT}:2", "0\n1\n", -signal.SIGKILL),
        (f"{POINT}:4", "0\n1\n2\n", 0),
    ],
)
def test_a_process_ends_where_its_environment_says(crash_at: str, passed: str, code: int) -> None:
    with process(crash_at) as ended:
        assert ended.communicate(timeout=30)[0] == passed
    assert ended.returncode == code


def test_a_process_freezes_and_goes_on() -> None:
    with process(f"{POINT}:2:SIGSTOP") as frozen:
        _, status = os.waitpid(frozen.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        frozen.send_signal(signal.SIGCONT)
        assert frozen.communicate(timeout=30)[0] == "0\n1\n2\n"


@pytest.mark.parametrize("crash_at", ["nowhere", f"{POINT}:often", f"{POINT}:1:SIGNONE"])
def test_what_is_no_place_is_refused_by_name(crash_at: str) -> None:
    with process(crash_at) as refused:
        _, said = refused.communicate(timeout=30)
    assert refused.returncode == 1
    assert f"{VARIABLE} is '{crash_at}'; it should be PLACE[:TIMES[:SIGNAL]], with a place of {POINT}, " in said


def test_in_the_test_s_own_process_it_raises_what_no_handler_catches() -> None:
    reached(POINT)
    with armed(POINT, times=2):
        reached(OTHER)
        reached(POINT)
        with pytest.raises(Crashed, match=POINT):
            reached(POINT)
    reached(POINT)
    assert not issubclass(Crashed, Exception)
