"""Each benchmark runs and finds right answers; how fast they were is nobody's affair here."""

import json
import subprocess
import sys
from typing import Any

import pytest

from devstack.environment import ROOT


def run(name: str) -> dict[str, Any]:
    argv = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--quick", "--json"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("name", "contestants", "figure"),
    [
        ("lookup", ["ours", "plain DRF"], "lookups/s"),
        ("eviction", ["PUT answered to evicted", "bare message"], "p99 ms"),
        ("cache_read", ["FencedCache.read", "cache.get, bytes", "cache.get, dictionary"], "p50 µs"),
        ("drain", ["relay", "bare kafka-python"], "rows/s"),
        ("trace", ["recording", "without"], "changes/s"),
        (
            "metrics",
            ["lookups, metrics off", "lookups, metrics on", "updates, metrics off", "updates, metrics on"],
            "answers/s",
        ),
        (
            "tracing",
            [f"{what}, traces {share}" for what in ("lookups", "updates") for share in ("off", "1 %", "100 %")],
            "answers/s",
        ),
    ],
)
def test_it_measures_all_without_a_wrong_answer(name: str, contestants: list[str], figure: str) -> None:
    found = run(name)
    assert found["quick"]
    assert [row[""] for row in found["rows"]] == contestants
    for row in found["rows"]:
        assert row[figure] > 0
        assert row.get("errors", 0) == 0
    assert all(said.endswith("errors 0") for name, said in found.items() if name.startswith("updates/s with"))
