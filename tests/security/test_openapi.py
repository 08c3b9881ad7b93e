"""What each service's OpenAPI document promises, held against the running service by schemathesis.

Requests are made up from the document, valid and not: every answer has to be one that the document names, of the media
type and the shape that it says, and never a 5xx.
"""

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from devstack.cluster import ServiceCluster
from tests.e2e.world import LICENSE, ORGANIZATION
from tests.security.issuer import Issuer

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)
SERVICES = ("organization", "licensing")


def schemathesis(url: str, folder: Path, *options: str, parameters: dict[str, str] | None = None) -> str:
    """What it says at its end; an AssertionError with all of it where it has found something."""
    configuration = folder / "schemathesis.toml"
    lines = [f'"path.{name}" = "{value}"' for name, value in (parameters or {}).items()]
    configuration.write_text("\n".join(["[parameters]", *lines]))
    program = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(configuration), "run"]
    fixed = ["--url", url, "--generation-deterministic", "--continue-on-failure", "--no-color", "--warnings", "off"]
    done = subprocess.run(
        [*program, f"{url}/openapi.json", *fixed, "--checks", ",".join(CHECKS), *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def passed(report: str) -> int:
    """How many requests were made, all of them to its content."""
    found = re.search(r"(\d+) generated, (\d+) passed", report)
    assert found, report
    return int(found[2])


def url_of(platform: ServiceCluster, service: str) -> str:
    return platform.organization_url if service == "organization" else platform.licensing_urls[0]


@pytest.mark.parametrize("service", SERVICES)
def test_a_stranger_gets_a_401_as_documented(platform: ServiceCluster, tmp_path: Path, service: str) -> None:
    report = schemathesis(url_of(platform, service), tmp_path, "--phases", "fuzzing", "--max-examples", "5")

    assert passed(report) >= 30


@pytest.mark.parametrize("service", SERVICES)
def test_whatever_a_caller_sends_the_answer_is_a_documented_one(
    platform: ServiceCluster, issuer: Issuer, tmp_path: Path, service: str
) -> None:
    """With ids that are made up."""
    token = f"Authorization: Bearer {issuer.token('ADMIN', lifetime_s=900)}"
    options = ["--header", token, "--phases", "fuzzing", "--max-examples", "20"]

    assert passed(schemathesis(url_of(platform, service), tmp_path, *options)) > 100


@pytest.mark.parametrize("service", SERVICES)
def test_the_same_for_what_is_there(platform: ServiceCluster, issuer: Issuer, tmp_path: Path, service: str) -> None:
    token = {"Authorization": f"Bearer {issuer.token('ADMIN', lifetime_s=900)}"}
    with httpx.Client(headers=token, timeout=20) as client:
        made = client.post(f"{platform.organization_url}/v1/organization", json=ORGANIZATION)
        there = {"organizationId": made.json()["id"]}
        licenses = f"{platform.licensing_urls[0]}/v1/organization/{there['organizationId']}/license"
        there["licenseId"] = client.post(licenses, json=LICENSE).json()["licenseId"]
    header = f"Authorization: {token['Authorization']}"
    # What a DELETE finds is no longer there for the others.
    options = ["--header", header, "--phases", "coverage,fuzzing", "--max-examples", "10", "--exclude-method", "DELETE"]

    assert passed(schemathesis(url_of(platform, service), tmp_path, *options, parameters=there)) > 100
