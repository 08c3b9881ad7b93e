"""The chart renders, and what it renders is what Kubernetes takes; no cluster is needed, but helm is."""

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.compose_file import compose, filled_in
from tests.deploy.helm_chart import CHART, MISSING, Manifest, helm, helm_program, pod_specs, rendered
from tests.deploy.prometheus_files import MISSING as NO_PROMTOOL
from tests.deploy.prometheus_files import PROMTOOL
from tests.unit.deploy.test_prometheus import promtool

needs_helm = pytest.mark.skipif(helm_program() is None, reason=MISSING)
pytestmark = needs_helm

TOKENS = "tokens.url=https://login.example.org/token"
VARIANTS = {
    "default": (),
    "keda": (TOKENS, "worker.autoscaling.kind=keda", "podMonitor.enabled=true"),
    "hpa": (TOKENS, "worker.autoscaling.kind=hpa", "networkPolicy.egress[0].to[0].ipBlock.cidr=10.0.0.0/8"),
    "least": (
        "networkPolicy.enabled=false",
        "meter.enabled=false",
        "publicHosts=example.org",
        "image.pullSecrets[0]=a",
    ),
}
# Of others, whose schemas are not Kubernetes' own.
CUSTOM = {"ScaledObject", "PodMonitor"}
variants = pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}


def test_helm_finds_no_fault() -> None:
    helm("lint", "--strict", str(CHART))


@variants
def test_kubernetes_takes_what_is_rendered(values: tuple[str, ...]) -> None:
    try:
        validator = import_module("kubernetes_validate")
    except ImportError:
        pytest.skip("there is no kubernetes-validate: pip install -r deploy/helm/requirements.txt")
    for manifest in rendered(*values):
        if manifest["kind"] not in CUSTOM:
            validator.validate(manifest, "1.37", strict=True)


@variants
def test_every_container_can_do_no_more_than_it_must(values: tuple[str, ...]) -> None:
    specs = pod_specs(rendered(*values))
    assert len(specs) >= 8
    for name, spec in specs.items():
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@variants
def test_secrets_are_there_by_reference_alone(values: tuple[str, ...]) -> None:
    manifests = rendered(*values)
    assert not of_kind(manifests, "Secret")
    for spec in pod_specs(manifests).values():
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            for variable in container["env"]:
                # A path, and the address of whoever gives tokens, tell nothing.
                is_secret = re.search("SASL|SECRET|DATABASE|REDIS|RABBITMQ|TOKEN(?!_FILE|_URL)", variable["name"])
                assert ("valueFrom" in variable) == bool(is_secret), variable


@variants
def test_each_process_that_stays_has_probes_a_port_and_a_policy(values: tuple[str, ...]) -> None:
    manifests = rendered(*values)
    deployments = of_kind(manifests, "Deployment")
    policies = of_kind(manifests, "NetworkPolicy")
    budgets = of_kind(manifests, "PodDisruptionBudget")
    assert set(deployments) - {"events-meter"} == {
        f"events-{name}" for name in ("organization", "licensing", "relay", "worker")
    }
    for name, deployment in deployments.items():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        for probe, path in (("startup", "live"), ("liveness", "live"), ("readiness", "ready")):
            assert container[f"{probe}Probe"]["httpGet"] == {"path": f"/health/{path}", "port": "http"}
        [port] = container["ports"]
        assert any(variable.get("value") == f"0.0.0.0:{port['containerPort']}" for variable in container["env"])
        selected = [deployment["spec"]["selector"]["matchLabels"]]
        if policies:
            selected.append(policies[name]["spec"]["podSelector"]["matchLabels"])
            for rule in policies[name]["spec"]["ingress"]:
                assert rule["ports"] == [{"protocol": "TCP", "port": port["containerPort"]}]
        # A budget for a single one would keep its node from ever being drained.
        if name != "events-meter":
            selected.append(budgets.pop(name)["spec"]["selector"]["matchLabels"])
        for wanted in selected:
            assert wanted.items() <= labels.items()
    assert not budgets
    for name, service in of_kind(manifests, "Service").items():
        labels = deployments[name]["spec"]["template"]["metadata"]["labels"]
        assert service["spec"]["selector"].items() <= labels.items()


def test_it_runs_what_compose_runs() -> None:
    """The same commands in the same images; the relay aside, which compose has within the web process."""
    stack = compose(filled_in())["services"]
    theirs = {
        (each["image"], json.dumps(each.get("command"))) for each in stack.values() if "-service" in each["image"]
    }
    ours = set()
    for spec in pod_specs(rendered(TOKENS)).values():
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            image = container["image"].rpartition("/")[2].partition(":")[0]
            ours.add((image, json.dumps(container.get("command"))))
    assert {(image, command) for image, command in theirs if "make_topics" not in command} <= ours


def test_the_tables_are_made_before_anything_is_started() -> None:
    jobs = of_kind(rendered(), "Job")
    assert set(jobs) == {"events-organization-migrate", "events-licensing-migrate"}
    for job in jobs.values():
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"


def test_helm_test_asks_both_doctors_and_follows_a_change() -> None:
    tests = list(of_kind(rendered(), "Pod").values())
    assert all(pod["metadata"]["annotations"]["helm.sh/hook"] == "test" for pod in tests)
    commands = sorted(pod["spec"]["containers"][0]["command"][2] for pod in tests)
    assert commands == ["doctor", "doctor", "follow_change"]


@pytest.mark.skipif(PROMTOOL is None, reason=NO_PROMTOOL)
def test_workers_are_added_while_records_wait_and_the_cache_is_behind(tmp_path: Path) -> None:
    [scaled] = of_kind(rendered("worker.autoscaling.kind=keda"), "ScaledObject").values()
    [trigger] = scaled["spec"]["triggers"]
    [hpa] = of_kind(rendered("worker.autoscaling.kind=hpa"), "HorizontalPodAutoscaler").values()
    query = trigger["metadata"]["query"]
    assert hpa["metadata"]["annotations"]["organization-events/query"] == query
    values = yaml.safe_load((CHART / "values.yaml").read_text())["worker"]
    assert float(trigger["metadata"]["threshold"]) == values["autoscaling"]["targetWatermarkAgeSeconds"]
    # More workers than partitions have nothing to do.
    assert scaled["spec"]["maxReplicaCount"] == hpa["spec"]["maxReplicas"] == values["partitions"]

    def case(age: float, lag: float | None, expected: float) -> dict[str, Any]:
        series = {f'event_stream_cache_watermark_age_seconds{{partition="1", instance="{name}"}}': age for name in "ab"}
        if lag is not None:
            series['event_stream_consumer_lag_records{binding="inboundOrgChanges"}'] = lag
            series['event_stream_consumer_lag_records{binding="auditOrgChanges"}'] = 9e9
        return {
            "interval": "1m",
            "input_series": [{"series": name, "values": f"{value}x5"} for name, value in series.items()],
            "promql_expr_test": [
                {"expr": query, "eval_time": "2m", "exp_samples": [{"labels": "{}", "value": expected}]}
            ],
        }

    # Behind with records waiting; behind because nobody sends; in time; with nobody who could say.
    cases = [case(30, 5000, 30), case(30, 3, 0), case(1, 5000, 1), case(30, None, 0)]
    path = tmp_path / "tests.yaml"
    path.write_text(yaml.safe_dump({"tests": cases}))
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr
