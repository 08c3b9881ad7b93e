"""The conformance suite in a stranger's hands: his own binder passes, and each fault is found by its test."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from devstack.environment import ROOT
from tests.kit.broken_binders import FOUND_BY, Healthy

BINDERS = Path(__file__).with_name("broken_binders.py")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], bool]:
    """Whether each test passed, by class and name: all of the healthy one, and of each other the one meant for it."""
    report = tmp_path_factory.mktemp("conformance") / "report.xml"
    chosen = [
        f"{BINDERS}::TestHealthy",
        *(f"{BINDERS}::Test{each.__name__}::{name}" for each, name in FOUND_BY.items()),
    ]
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:django", f"--junit-xml={report}", *chosen]
    subprocess.run(argv, cwd=ROOT, capture_output=True, check=False, timeout=200)
    cases = ET.parse(report).getroot().iter("testcase")
    return {
        (each.attrib["classname"].rpartition(".")[2], each.attrib["name"]): not list(each.iter("failure"))
        for each in cases
        if not list(each.iter("skipped"))
    }


def test_conformance_a_binder_of_somebody_elses_passes(outcomes: dict[tuple[str, str], bool]) -> None:
    mine = {name: passed for (binder, name), passed in outcomes.items() if binder == "TestHealthy"}
    assert len(mine) >= 20
    assert [name for name, passed in mine.items() if not passed] == []
    assert {each.partition("[")[0] for each in mine} >= set(FOUND_BY.values()) - {
        "test_fails_in_time_where_no_platform_answers"
    }


@pytest.mark.parametrize("fault", FOUND_BY, ids=lambda fault: fault.__name__)
def test_conformance_finds_a_binder_that(fault: type[Healthy], outcomes: dict[tuple[str, str], bool]) -> None:
    found = [
        not passed
        for (binder, name), passed in outcomes.items()
        if binder == f"Test{fault.__name__}" and name.partition("[")[0] == FOUND_BY[fault]
    ]
    assert any(found), f"{FOUND_BY[fault]} passes"
