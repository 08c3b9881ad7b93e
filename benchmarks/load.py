"""The load on a web server: `wrk` where it is installed, otherwise the generator in http_load.py.

wrk is written in C and leaves the two cores to what is measured. It checks no bodies, so each request is sent once
before, and its answer is compared with what it should be.
"""

import functools
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import http_load, measure
from benchmarks.errors import BenchmarkError
from benchmarks.http_load import Request
from devstack import SupervisedProcess

CONNECTIONS = 16
_LONGEST_S = 60.0

_SCRIPT = """
local requests = {}
function init(args)
  math.randomseed(10)
  for line in io.lines("%s") do
    local escaped = line:gsub("\\\\r", "\\r"):gsub("\\\\n", "\\n")
    requests[#requests + 1] = escaped
  end
end
function request() return requests[math.random(#requests)] end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nOUTCOME {"answers": %%d, "took_us": %%d, "p50_us": %%d, "p99_us": %%d, "failed": %%d, "timeouts": %%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status + e.connect + e.read + e.write, e.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it: right answers a second, and the latency in seconds."""

    per_s: float
    answers: int
    p50_s: float
    p99_s: float


@functools.cache
def wrk() -> str | None:
    return shutil.which("wrk")


def generator() -> str:
    """What makes the load here, as a sentence for the reader."""
    if wrk():
        return "wrk, one thread"
    return "benchmarks/http_load.py, which takes a part of the machine for itself: wrk is not installed"


def check(port: int, requests: Sequence[Request]) -> None:
    """Send each request once. Raises BenchmarkError if an answer is wrong."""
    order = http_load.Order(port, min(8, len(requests)), requests, each_once=True)
    _require_right(http_load.run(order))


def run(port: int, requests: Sequence[Request], *, seconds: float, connections: int = CONNECTIONS) -> Load:
    """Ask 127.0.0.1:`port` for random ones of `requests`. Raises BenchmarkError if an answer is wrong."""
    program = wrk()
    if program is None:
        outcome = http_load.run(http_load.Order(port, connections, requests, seconds=seconds))
        _require_right(outcome)
        p50_s, p99_s = (measure.percentile(outcome.latencies_s, at) for at in (50, 99))
        return Load(outcome.answers / outcome.took_s, outcome.answers, p50_s, p99_s)
    with tempfile.TemporaryDirectory(prefix="wrk-") as folder:
        lines, script = Path(folder, "requests"), Path(folder, "requests.lua")
        encoded = (request.encoded(f"127.0.0.1:{port}").decode() for request in requests)
        lines.write_text("".join(text.replace("\r", "\\r").replace("\n", "\\n") + "\n" for text in encoded))
        script.write_text(_SCRIPT % lines)
        argv = [program, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "-s"]
        argv += [str(script), f"http://127.0.0.1:{port}"]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=seconds + 60)
    outcome_line = next((line for line in done.stdout.splitlines() if line.startswith("OUTCOME ")), None)
    if outcome_line is None:
        raise BenchmarkError(f"wrk failed: {(done.stdout + done.stderr).strip()[-500:]}")
    came = json.loads(outcome_line.removeprefix("OUTCOME "))
    if not any(came[name] for name in ("answers", "failed", "timeouts")) and seconds < _LONGEST_S:
        # A second is too short for a machine that has other things to do, as that of the tests may.
        return run(port, requests, seconds=max(1.0, 2 * seconds), connections=connections)
    if not came["answers"] or came["failed"] or came["timeouts"]:
        raise BenchmarkError(
            f"{came['failed']} of {came['answers']} answers were wrong, and {came['timeouts']} did not come"
        )
    per_s = came["answers"] / came["took_us"] * 1e6
    return Load(per_s, came["answers"], came["p50_us"] / 1e6, came["p99_us"] / 1e6)


@dataclass(frozen=True, slots=True)
class Round:
    """`cpu_ms` is what the web processes used for one request; `beside_ms`, by name, what the servers did."""

    load: Load
    cpu_ms: float
    beside_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A web server that answers `requests`; behind a gateway, `port` is that of the gateway.

    `beside` are servers that work for it, whose CPU time is of interest.
    """

    name: str
    process: SupervisedProcess
    port: int
    requests: Sequence[Request]
    beside: Sequence[SupervisedProcess] = ()

    def play(self, seconds: float) -> Round:
        before_s = self._cpu_s()
        try:
            load = run(self.port, self.requests, seconds=seconds)
        except BenchmarkError as error:
            raise BenchmarkError(f"{self.name}: {error}") from error
        used_ms = [
            (after - before) / load.answers * 1000 for before, after in zip(before_s, self._cpu_s(), strict=True)
        ]
        names = [process.name for process in self.beside]
        return Round(load, used_ms[0], dict(zip(names, used_ms[1:], strict=True)))

    def _cpu_s(self) -> list[float]:
        return [measure.cpu_s(process.pid) for process in (self.process, *self.beside)]

    def warm_up(self, seconds: float) -> None:
        try:
            check(self.port, self.requests)
        except BenchmarkError as error:
            raise BenchmarkError(f"{self.name}: {error}") from error
        self.play(seconds)


def _require_right(outcome: http_load.Outcome) -> None:
    if outcome.errors or not outcome.answers:
        raise BenchmarkError(f"{outcome.errors} wrong answers, the first: {outcome.first_error or 'none came'}")
