"""The virtual environment of the peers, below `.local/benchmarks`: made once for each requirements.txt."""

import subprocess
import sys
from pathlib import Path

from benchmarks.errors import BenchmarkError
from devstack.environment import LOCAL

_HERE = Path(__file__).parent
_REQUIREMENTS = _HERE / "requirements.txt"
_FOLDER = LOCAL / "benchmarks" / "peers"


def python() -> Path:
    """Its Python, with everything installed. Raises BenchmarkError if pip can't."""
    program, stamp = _FOLDER / "bin" / "python", _FOLDER / "installed.txt"
    wanted = f"{sys.version_info[:2]}\n{_REQUIREMENTS.read_text()}"
    if stamp.exists() and stamp.read_text() == wanted:
        return program
    subprocess.run([sys.executable, "-m", "venv", "--clear", _FOLDER], check=True, stdout=subprocess.DEVNULL)
    argv: list[str | Path] = [program, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    pip = subprocess.run([*argv, "-r", _REQUIREMENTS], check=False, capture_output=True, text=True)
    if pip.returncode:
        reason = (pip.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise BenchmarkError(f"pip could not install {_REQUIREMENTS.name} of the peers: {reason}")
    stamp.write_text(wanted)
    return program


def program(name: str) -> Path:
    """The file of a consumer."""
    return _HERE / "programs" / f"{name}.py"
