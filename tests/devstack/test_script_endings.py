"""However a script of manage_scripts ends, a person reads one sentence at most, and the exit code is a documented one.

`tests/unit/deploy/test_command_endings.py` has the management commands.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from devstack import wait_until
from devstack.environment import ROOT

SCRIPTS = sorted(
    path.name
    for path in (ROOT / "manage_scripts").iterdir()
    if path.is_file() and not path.suffix and path.name != "bootstrap"
)
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": os.environ.get("HOME", "/"),
    "DEBUG": "true",
    "AUTH_REQUIRED": "false",
    # Not the shim of a version manager: that is a shell script, and has been seen to spin for ever under Ctrl-C.
    "PYTHON": os.path.realpath(sys.executable),
}
NOWHERE = "127.0.0.1:1"
UNREAD = 141
UNWRITABLE = "The output can't be written: No space left on device.\n"

# Arguments and variables with which each ends where nothing can be reached, its exit code, and how its sentence begins.
WITHOUT_SERVERS: Mapping[str, tuple[Sequence[str], Mapping[str, str], int, str]] = {
    "check": (["--no-such-option"], {}, 2, "check: error: "),
    "create_acls": ([], {}, 2, "create_acls: error: say where Kafka is"),
    "create_topics": (
        [],
        {"EVENT_BINDER": "redis", "EVENT_REDIS_URL": f"redis://{NOWHERE}/0"},
        1,
        "The topic orgChangeTopic can't be made",
    ),
    "docs": (["--port", "0"], {}, 2, "docs: error: argument --port: should be a port"),
    "manage": (["--data", "nowhere", "org", "doctor"], {}, 1, "Nothing runs on the data in "),
    "run": (["--once", "--data", "made"], {"DATABASE_URL": "http://?"}, 1, "DATABASE_URL is set, but no PostgreSQL"),
    "seed": ([], {"DATABASE_URL": f"postgresql://{NOWHERE}/none"}, 1, "org_project: manage.py load_sample_data failed"),
    "stop": (["--data", "nowhere"], {}, 0, ""),
    "test": (["no/such/path"], {}, 4, "No such path: no/such/path."),
    "token": (["--data", "nowhere"], {}, 1, "There is no issuer's key in "),
}


@contextmanager
def start(
    script: str, arguments: Sequence[str], folder: Path, stdout: int, **more: str
) -> Iterator["subprocess.Popen[str]"]:
    """One that does not end is killed, with all that it has started."""
    with subprocess.Popen(
        [ROOT / "manage_scripts" / script, *arguments],
        cwd=folder,
        env=ENVIRONMENT | more,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def ended(script: str, arguments: Sequence[str], folder: Path, stdout: int, **more: str) -> tuple[int, str]:
    """Exit code and stderr."""
    with start(script, arguments, folder, stdout, **more) as process:
        _, err = process.communicate(timeout=120)
    return process.returncode, err


def for_each_script(call: Callable[[str], tuple[int, str]]) -> Mapping[str, tuple[int, str]]:
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(SCRIPTS, pool.map(call, SCRIPTS), strict=True))


def test_each_script_says_in_a_sentence_that_nothing_can_be_reached(tmp_path: Path) -> None:
    assert set(SCRIPTS) == set(WITHOUT_SERVERS)

    def call(script: str) -> tuple[int, str]:
        arguments, environment, _, _ = WITHOUT_SERVERS[script]
        return ended(
            script,
            arguments,
            tmp_path,
            subprocess.DEVNULL,
            PYTHONSAFEPATH="1",
            PYTHONIOENCODING="ascii:strict",
            **environment,
        )

    for script, (code, err) in for_each_script(call).items():
        _, _, expected, sentence = WITHOUT_SERVERS[script]
        assert code == expected, (script, err)
        # The lines before it are argparse's usage.
        said = [line for line in err.splitlines() if not line.startswith(("usage: ", " "))]
        assert "Traceback" not in err, err
        assert len(said) <= 1 or script == "seed", (script, err)
        assert "".join(said).startswith(sentence), (script, err)
    # Nothing is made beside what was named.
    assert {path.name for path in tmp_path.iterdir()} == {"made"}


def _unread() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize(("output", "expected"), [("unread", (UNREAD, "")), ("full", (1, UNWRITABLE))])
def test_each_script_ends_where_its_output_can_not_be_written(
    output: str, expected: tuple[int, str], tmp_path: Path
) -> None:
    stdout = _unread() if output == "unread" else os.open("/dev/full", os.O_WRONLY)

    def call(script: str) -> tuple[int, str]:
        return ended(script, ["--help"], tmp_path, stdout)

    try:
        results = for_each_script(call)
    finally:
        os.close(stdout)
    assert results == dict.fromkeys(SCRIPTS, expected)


@pytest.mark.parametrize("moment", ["at once", "in Python"])
def test_ctrl_c_ends_each_script_without_a_traceback(moment: str, tmp_path: Path) -> None:

    def call(script: str) -> tuple[int, str]:
        arguments, environment, _, _ = WITHOUT_SERVERS[script]
        with start(script, arguments, tmp_path, subprocess.DEVNULL, **environment) as process:
            assert process.stderr is not None

            def is_over() -> bool:
                if process.poll() is None and (moment == "at once" or is_in_python(process.pid)):
                    os.killpg(process.pid, signal.SIGINT)
                return process.poll() is not None

            assert wait_until(is_over, within_s=60)
            return process.returncode, process.stderr.read()

    for script, (code, err) in for_each_script(call).items():
        # By the signal, or before it came.
        assert code in {130, -signal.SIGINT, WITHOUT_SERVERS[script][2]}, (script, err)
        assert "Traceback" not in err, (script, err)


def is_in_python(pid: int) -> bool:
    try:
        return any("launch.py" in part for part in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False
