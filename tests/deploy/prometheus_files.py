"""What `deploy/` gives Prometheus and Grafana, as queries."""

import json
import re
import shutil
from dataclasses import dataclass
from typing import Any

import yaml

from devstack.environment import ROOT

RULES = ROOT / "deploy/prometheus/alerts.yaml"
RULE_TESTS = ROOT / "deploy/prometheus/alerts_test.yaml"
CONFIGURATION = ROOT / "deploy/prometheus/prometheus.yaml"
DASHBOARD = ROOT / "deploy/grafana/dashboard.json"
PROMTOOL = shutil.which("promtool")
PROMETHEUS = shutil.which("prometheus")
MISSING = "there is no promtool: install Debian's package prometheus"

_METRIC = re.compile(r"\b(?:event_stream|http_request)_\w+")


@dataclass(frozen=True, slots=True)
class Query:
    """`where` is the alert's name, or the panel's title."""

    where: str
    text: str

    @property
    def metrics(self) -> set[str]:
        return set(_METRIC.findall(self.text))


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def queries() -> list[Query]:
    return [
        *(Query(rule["alert"], rule["expr"]) for rule in rules()),
        *(Query(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]),
    ]
