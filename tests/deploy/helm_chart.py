"""The chart as helm renders it, where helm is installed."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.compose_file import DEPLOY

CHART = DEPLOY / "helm"
MISSING = "there is no helm: go install helm.sh/helm/v3/cmd/helm@v3.22.0"
RELEASE = "events"
# helm that was built by `go install` takes itself for one of the first Kubernetes.
_KUBERNETES = "1.37.0"

Manifest = dict[str, Any]


def helm_program() -> str | None:
    """On PATH, or where `go install` puts it."""
    places = (os.environ.get("GOBIN"), f"{os.environ.get('GOPATH', Path.home() / 'go')}/bin")
    return shutil.which("helm", path=os.pathsep.join([os.environ["PATH"], *filter(None, places)]))


@cache
def rendered(*values: str) -> list[Manifest]:
    """All manifests with these values, `name=value` each. Raises CalledProcessError."""
    arguments = [word for value in values for word in ("--set", value)]
    text = helm("template", RELEASE, str(CHART), "--kube-version", _KUBERNETES, *arguments)
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


def helm(*arguments: str) -> str:
    program = helm_program()
    assert program is not None, MISSING
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pod_specs(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The spec of the pods of each Deployment, Job, CronJob and Pod, by its name without the release's."""
    found = {}
    for manifest in manifests:
        spec = manifest.get("spec", {})
        if manifest["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if manifest["kind"] in {"Deployment", "Job", "CronJob"}:
            spec = spec["template"]["spec"]
        elif manifest["kind"] != "Pod":
            continue
        found[manifest["metadata"]["name"].removeprefix(f"{RELEASE}-")] = spec
    return found
