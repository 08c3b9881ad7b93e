"""A real Prometheus scrapes the real processes: what the rules and the dashboard ask for is there."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from devstack.ports import free_port
from devstack.process import SupervisedProcess
from devstack.waiting import wait_until
from tests.deploy.prometheus_files import MISSING, PROMETHEUS, PROMTOOL, RULES, panels, queries, rules
from tests.e2e.world import DEADLINE_S, World
from tests.event_stream.scraped import scrape

QUERIES = queries()


def urls(world: World) -> dict[str, list[str]]:
    platform = world.platform
    return {
        "organization": [platform.organization_url],
        "licensing": list(platform.licensing_urls),
        "worker": list(platform.worker_urls),
    }


@pytest.fixture(scope="module")
def busy(world: World) -> World:
    """Everything has happened once that happens all the time."""
    customer = world.customer()
    world.cached(customer)
    world.change(customer, "Ann")
    return world


def test_every_metric_that_rules_and_dashboard_name_is_exported(busy: World) -> None:
    exported = {name for of_job in urls(busy).values() for url in of_job for name in scrape(url).names}
    named = {(query.where, metric) for query in QUERIES for metric in query.metrics}
    assert len({metric for _, metric in named}) > 25
    assert {(where, metric) for where, metric in named if metric not in exported} == set()


@pytest.mark.skipif(PROMTOOL is None, reason=MISSING)
def test_what_is_exported_is_as_prometheus_wants_it(busy: World) -> None:
    """The linter's word on names, units and help."""
    for of_job in urls(busy).values():
        for url in of_job:
            done = subprocess.run(
                [PROMTOOL or "", "check", "metrics"],
                input=httpx.get(f"{url}/metrics").text,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert done.returncode == 0, done.stdout + done.stderr


class Prometheus:
    """With the rules of deploy/, and the processes of the platform as its targets."""

    def __init__(self, folder: Path, targets: dict[str, list[str]]) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        jobs = [
            {"job_name": job, "static_configs": [{"targets": [url.removeprefix("http://") for url in of_job]}]}
            for job, of_job in targets.items()
        ]
        path = folder / "prometheus.yaml"
        interval = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        path.write_text(yaml.safe_dump({"global": interval, "rule_files": [str(RULES)], "scrape_configs": jobs}))
        self.process = SupervisedProcess(
            "prometheus",
            [
                PROMETHEUS or "",
                f"--config.file={path}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={self.url.removeprefix('http://')}",
            ],
            log=folder / "prometheus.log",
            ready=self._is_ready,
        )

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=5).is_success
        except httpx.TransportError:
            return False

    def query(self, text: str) -> list[dict[str, Any]]:
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": text}, timeout=20).json()
        assert answer["status"] == "success", (text, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        answer = httpx.get(f"{self.url}/api/v1/rules", timeout=20).json()
        return [rule for group in answer["data"]["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def prometheus(busy: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    if PROMETHEUS is None:
        pytest.skip(MISSING)
    prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), urls(busy))
    with prometheus.process:
        expected = sum(map(len, urls(busy).values()))
        # Twice, for a rate.
        scraped = "count(count_over_time(up[1m]) >= 3 and up == 1)"
        assert wait_until(
            lambda: [row["value"][1] for row in prometheus.query(scraped)] == [str(expected)], within_s=DEADLINE_S
        )
        yield prometheus


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_each_panel_of_the_dashboard_shows_something(prometheus: Prometheus, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        rows = prometheus.query(target["expr"])
        assert rows, target["expr"]
        # The legend names labels that are there.
        for row in rows:
            assert all(f"{{{{{label}}}}}" in target["legendFormat"] for label in row["metric"]), row["metric"]


def test_no_alert_fires_and_no_rule_fails_while_all_is_well(prometheus: Prometheus) -> None:
    assert wait_until(lambda: all(rule["health"] != "unknown" for rule in prometheus.rules()), within_s=DEADLINE_S)
    found = prometheus.rules()
    assert {rule["name"] for rule in found} == {rule["alert"] for rule in rules()}
    assert [rule for rule in found if rule["health"] != "ok"] == []
    firing = [rule["name"] for rule in found if rule["state"] == "firing"]
    assert firing == []
