"""The alert rules do what they say, and lead to the runbook; the dashboard is whole. No server is needed."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from devstack.environment import ROOT
from tests.deploy.prometheus_files import (
    CONFIGURATION,
    DASHBOARD,
    MISSING,
    PROMTOOL,
    RULE_TESTS,
    RULES,
    panels,
    queries,
    rules,
)

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason=MISSING)


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROMTOOL or "", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )


def cases() -> list[tuple[str, bool]]:
    """The alerts that a case asks for, and whether they should fire there."""
    tests: list[dict[str, Any]] = yaml.safe_load(RULE_TESTS.read_text())["tests"]
    return [(case["alertname"], bool(case["exp_alerts"])) for test in tests for case in test["alert_rule_test"]]


@needs_promtool
def test_each_rule_fires_when_it_should_and_not_before() -> None:
    done = promtool("test", "rules", RULE_TESTS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_rule_has_a_case_that_fires_and_one_that_does_not(rule: dict[str, Any]) -> None:
    assert {(rule["alert"], True), (rule["alert"], False)} <= set(cases())


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_rule_leads_to_a_line_of_the_runbook(rule: dict[str, Any]) -> None:
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    [line] = [line for line in (ROOT / path).read_text().splitlines() if f'<a id="{anchor}"></a>' in line]
    assert f"`{rule['alert']}`" in line
    # An alert, what it means, what to do.
    assert len([cell for cell in line.strip("|").split(" | ") if cell.strip()]) == 3
    assert rule["labels"]["severity"] in {"critical", "warning"}


@needs_promtool
def test_prometheus_can_read_both_files() -> None:
    for arguments in (("check", "config", CONFIGURATION), ("check", "rules", RULES)):
        done = promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_every_query_of_the_dashboard_can_be_read(tmp_path: Path) -> None:
    recorded = [{"record": f"panel_{number}", "expr": query.text} for number, query in enumerate(queries())]
    path = tmp_path / "panels.yaml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": recorded}]}))
    done = promtool("check", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_panel_explains_itself_and_lies_beside_the_others() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels():
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
        assert place["x"] + place["w"] <= 24
    dashboard = json.loads(DASHBOARD.read_text())
    identifiers = [panel["id"] for panel in dashboard["panels"]]
    assert len(identifiers) == len(set(identifiers))
    # The reader chooses where the data come from.
    assert [variable["type"] for variable in dashboard["templating"]["list"]] == ["datasource"]
