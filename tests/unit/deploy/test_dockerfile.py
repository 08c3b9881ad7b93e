"""What can be seen of the images without building them."""

import json
import re

import pytest

from devstack.environment import ROOT
from tests.deploy.compose_file import DEPLOY

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
# Continued lines joined, comments gone.
LINES = [
    line for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line.strip() and not line.lstrip().startswith("#")
]
PORTS = {"organization": "8081", "licensing": "8080"}


def stage(name: str) -> list[str]:
    """The instructions of a stage and of the stage below it."""
    start = next(number for number, line in enumerate(LINES) if re.fullmatch(rf"FROM \S+ AS {name}", line))
    end = next((number for number in range(start + 1, len(LINES)) if LINES[number].startswith("FROM ")), len(LINES))
    base = LINES[start].split()[1]
    below = stage(base) if any(line.endswith(f" AS {base}") for line in LINES) else []
    return below + LINES[start:end]


@pytest.mark.parametrize("service", PORTS)
def test_a_service_runs_as_nobody_special_in_exec_form_and_knows_its_health(service: str) -> None:
    lines = stage(service)

    (user,) = (line for line in lines if line.startswith("USER "))
    assert all(part.isdigit() and int(part) > 0 for part in user.split()[1].split(":"))
    (command,) = (line.removeprefix("CMD ") for line in lines if line.startswith("CMD "))
    assert json.loads(command)[:2] == ["python", "/srv/serve.py"]
    (health,) = (line for line in lines if line.startswith("HEALTHCHECK "))
    assert json.loads(health.partition(" CMD ")[2]) == ["python", "/srv/healthcheck.py"]


@pytest.mark.parametrize(("service", "port"), PORTS.items())
def test_a_service_listens_where_the_gateway_looks_for_it(service: str, port: str) -> None:
    lines = stage(service)

    assert f"EXPOSE {port}" in lines
    assert any(f"BIND=0.0.0.0:{port}" in line for line in lines)


def test_all_that_is_copied_exists_and_gets_past_the_ignore_file() -> None:
    sources = [
        source for line in LINES if line.startswith("COPY ") and "--from" not in line for source in line.split()[1:-1]
    ]
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    let_in = [line.removeprefix("!") for line in ignore if line.startswith("!")]

    assert "*" in ignore
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(source == kept or source.startswith(f"{kept}/") for kept in let_in), source


def test_the_development_issuer_is_in_no_image() -> None:
    """Nor anything else of manage_scripts/, where it lives."""
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text()

    assert (ROOT / "devstack/issuer.py").exists()
    assert "manage_scripts" not in "\n".join(LINES)
    assert "manage_scripts" not in ignore


def test_nothing_secret_is_built_in() -> None:
    text = "\n".join(LINES).replace("renew_token.py", "")
    assert not re.search(r"(?i)password|secret|token", text)
