"""A command run to its end, with what it took."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.errors import BenchmarkError
from benchmarks.measure import children_cpu_s
from devstack.environment import ROOT


@dataclass(frozen=True, slots=True)
class Finished:
    """Its output, and its time and that of its children on a CPU, its start included."""

    stdout: bytes
    stderr: bytes
    took_s: float
    cpu_s: float


def run(argv: Sequence[str | os.PathLike[str]], environment: Mapping[str, str], *, within_s: float) -> Finished:
    """Raises BenchmarkError if it fails, or is not done in time."""
    name = " ".join(os.fspath(part) for part in argv[1:3])
    before_s, began_s = children_cpu_s(), time.perf_counter()
    try:
        done = subprocess.run(
            argv,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{name} was not done within {within_s:.0f} s") from None
    took_s = time.perf_counter() - began_s
    if done.returncode:
        raise BenchmarkError(f"{name} has failed: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return Finished(done.stdout, done.stderr, took_s, children_cpu_s() - before_s)
