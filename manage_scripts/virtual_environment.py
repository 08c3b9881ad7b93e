"""Makes `.venv` and installs requirements.txt into it, when either is missing or has changed. Standard library only."""

import fcntl
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_VENV = _ROOT / ".venv"
_PYTHON = _VENV / "bin" / "python"
_STAMP = _VENV / "installed.sha256"
_LOG = _ROOT / ".local" / "pip.log"
_INPUTS = ("requirements.txt", "deploy/requirements.txt")
_PACKAGES = (".", "service_kit")
_WORDS = ("Collecting", "Downloading", "Building", "Installing", "Obtaining")


def main() -> int:
    """Exit code 0 once the environment is as requirements.txt wants it."""
    _LOG.parent.mkdir(exist_ok=True)
    with (_LOG.parent / "venv.lock").open("w") as lock:
        # Two commands may start at once: one installs, the other one waits.
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _ensure()


def _ensure() -> int:
    wanted = _fingerprint()
    if _STAMP.exists() and _STAMP.read_text() == wanted and _works():
        return 0
    started = time.monotonic()
    if not _works():
        _say(f"Making a virtual environment in {_VENV.name} (Python {platform.python_version()})")
        shutil.rmtree(_VENV, ignore_errors=True)
        made = subprocess.run([sys.executable, "-m", "venv", str(_VENV)], check=False, capture_output=True, text=True)
        if made.returncode != 0:
            _LOG.write_text(made.stdout + made.stderr)
            return _fail("Python could not make a virtual environment (on Debian and Ubuntu: apt install python3-venv)")
    _say("Installing requirements.txt (the first time takes a minute or two)")
    problem = _install()
    if problem is not None:
        return _fail(problem)
    _STAMP.write_text(wanted)
    _say(f"Installed in {time.monotonic() - started:.0f} s")
    return 0


def _fingerprint() -> str:
    """Of everything that decides what is in the environment: a moved checkout breaks its scripts, too."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {platform.machine()} {_ROOT}".encode())
    for name in _INPUTS:
        digest.update((_ROOT / name).read_bytes())
    # Of pyproject.toml only what an installation reads: most of it are the settings of tools.
    for folder in _PACKAGES:
        package = tomllib.loads((_ROOT / folder / "pyproject.toml").read_text())
        digest.update(repr([package["build-system"], package["project"], package["tool"]["setuptools"]]).encode())
    return digest.hexdigest()


def _works() -> bool:
    """Whether the environment's Python runs, is new enough and is where it thinks it is."""
    if not _PYTHON.exists():
        return False
    asked = "import sys; print(sys.version_info >= (3, 11), sys.prefix)"
    answer = subprocess.run([str(_PYTHON), "-c", asked], check=False, capture_output=True, text=True)
    return answer.stdout.strip() == f"True {_VENV}"


def _install() -> str | None:
    """Run pip; None, or what went wrong in one sentence."""
    argv = [str(_PYTHON), "-m", "pip", "install", "--progress-bar", "off", "--no-input", "--disable-pip-version-check"]
    argv += ["-r", str(_ROOT / "requirements.txt")]
    missing = None
    with (
        _LOG.open("w") as log,
        subprocess.Popen(
            argv, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as pip,
    ):
        assert pip.stdout is not None
        for line in pip.stdout:
            log.write(line)
            if line.lstrip().startswith(_WORDS):
                _progress(line.strip())
            if "No matching distribution found for" in line:
                missing = line.split("found for", 1)[1].split("(")[0].strip()
    _progress(None)
    if pip.returncode == 0:
        return None
    if missing is not None:
        return (
            f"There is no package {missing} for {platform.system()} {platform.machine()} "
            f"with Python {platform.python_version()}, or the package index can't be reached"
        )
    return "pip could not install requirements.txt"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _progress(text: str | None) -> None:
    """One line that changes on a terminal, lines elsewhere; None ends it."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write("\r\033[K" + (f"  {text}"[:width] if text else ""))
        sys.stderr.flush()
    elif text is not None and not text.startswith("Collecting"):
        _say(f"  {text}")


def _fail(sentence: str) -> int:
    tail = _LOG.read_text().splitlines()[-5:]
    _say(f"{sentence}. The whole log is {os.path.relpath(_LOG)}; it ends:")
    for line in tail:
        _say(f"  {line}")
    return 1


if __name__ == "__main__":
    # `bootstrap` has it ignored. From here on it ends the process without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise SystemExit(main())
