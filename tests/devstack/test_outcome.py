"""What a session tells the runner, learnt from real pytest sessions over small files."""

import os
import subprocess
import sys
from pathlib import Path

from devstack.environment import ROOT
from devstack.test_outcome import FILE_VARIABLE, Outcome

TESTS = """
import pytest

def test_passes(): pass

def test_fails(): assert False

@pytest.mark.parametrize("number", [1, 2])
def test_skips(number): pytest.skip("no such server here")

@pytest.fixture
def broken(): raise OSError

def test_cannot_be_set_up(broken): pass

@pytest.fixture
def untidy():
    yield
    raise OSError

def test_passes_and_cannot_be_torn_down(untidy): pass

@pytest.mark.xfail(reason="known")
def test_is_expected_to_fail(): assert False
"""


def outcome_of(folder: Path, source: str) -> tuple[Outcome, int]:
    (folder / "test_sample.py").write_text(source)
    file = folder / "outcome.json"
    command = [sys.executable, "-m", "pytest", "-p", "devstack.test_outcome", "-c", os.devnull, str(folder)]
    environment = {**os.environ, FILE_VARIABLE: str(file), "PYTHONPATH": str(ROOT)}
    code = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True).returncode
    return Outcome.read(file), code


def test_every_test_is_counted_once(tmp_path: Path) -> None:
    outcome, code = outcome_of(tmp_path, TESTS)
    assert code == 1
    assert (outcome.passed, outcome.failed, outcome.skipped) == (1, 3, 3)
    assert outcome.reasons == {"no such server here": 2, "expected failure: known": 1}


def test_a_file_that_cannot_be_imported_is_a_failure(tmp_path: Path) -> None:
    outcome, _ = outcome_of(tmp_path, "import nothing_of_that_name")
    assert (outcome.passed, outcome.failed) == (0, 1)


def test_a_file_that_is_skipped_whole_says_why(tmp_path: Path) -> None:
    outcome, _ = outcome_of(tmp_path, "import pytest; pytest.skip('not here', allow_module_level=True)")
    assert outcome.reasons == {"not here": 1}


def test_outcomes_add_up() -> None:
    total = Outcome(1, 2) + Outcome(3, 0)
    assert (total.passed, total.failed, total.skipped) == (4, 2, 0)
