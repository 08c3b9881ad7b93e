"""The outcome of a session: counted inside pytest by a plugin, handed over in a file, added up by the runner.

Loaded with `-p devstack.test_outcome`; OUTCOME_FILE names the file.
"""

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

FILE_VARIABLE = "OUTCOME_FILE"
_SHOWN = 10


@dataclass(slots=True)
class Outcome:
    """Numbers of tests, why each was skipped, and the seconds of each with its fixtures.

    An error in a fixture or while collecting is a failure.
    """

    passed: int = 0
    failed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def skipped(self) -> int:
        return self.reasons.total()

    def __add__(self, other: Self) -> "Outcome":
        return Outcome(
            self.passed + other.passed,
            self.failed + other.failed,
            self.reasons + other.reasons,
            # A test that runs on several platforms is as slow as on the slowest.
            {
                name: max(self.seconds.get(name, 0.0), other.seconds.get(name, 0.0))
                for name in {**self.seconds, **other.seconds}
            },
        )

    @property
    def slowest(self) -> list[tuple[str, float]]:
        return sorted(self.seconds.items(), key=lambda item: -item[1])[:_SHOWN]

    @classmethod
    def read(cls, file: Path) -> Self:
        """Empty where the session ended before it could write."""
        if not file.exists():
            return cls()
        content = json.loads(file.read_text())
        return cls(content["passed"], content["failed"], Counter(content["reasons"]), content["seconds"])


_passed: set[str] = set()
_failed: set[str] = set()
_reasons: Counter[str] = Counter()
_seconds: dict[str, float] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration
    if report.failed:
        _failed.add(report.nodeid)
    elif report.skipped:
        _reasons[_reason(report)] += 1
    elif report.when == "call":
        _passed.add(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _failed.add(report.nodeid)
    elif report.skipped:
        _reasons[_reason(report)] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    # A test may pass and its teardown fail: it is one test, and it failed.
    counts = {"passed": len(_passed - _failed), "failed": len(_failed), "reasons": _reasons, "seconds": _seconds}
    Path(os.environ[FILE_VARIABLE]).write_text(json.dumps(counts))


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report, pytest.TestReport) and hasattr(report, "wasxfail"):
        return f"expected failure: {report.wasxfail}"
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)
