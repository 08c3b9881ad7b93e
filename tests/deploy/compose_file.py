"""deploy/compose.yaml as Docker would read it, with the variables of an .env file put in."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from devstack.environment import ROOT

DEPLOY = ROOT / "deploy"
OURS = {
    "organization": "org_project",
    "licensing": "licensing_project",
    "worker": "licensing_project",
    "meter": "licensing_project",
}
BINDERS = {
    "kafka": {"topics", "dead-letter-topic", "kafka"},
    "redis": {"events-topics", "events"},
    "rabbitmq": {"rabbitmq"},
}
ADDRESSES = {"kafka": "KAFKA_BOOTSTRAP_SERVERS", "redis": "EVENT_REDIS_URL", "rabbitmq": "RABBITMQ_URL"}
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?P<rule>:[-?])?(?P<text>[^}]*)\}")


class MissingVariableError(Exception):
    """A variable without a default isn't set; Docker stops here."""


def text() -> str:
    return (DEPLOY / "compose.yaml").read_text()


def compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """Raises MissingVariableError for what is required, and missing or empty."""

    def value(found: re.Match[str]) -> str:
        given = variables.get(found["name"], "")
        if given or found["rule"] is None:
            return given
        if found["rule"] == ":?":
            raise MissingVariableError(found["name"])
        return found["text"]

    content: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(value, text()))
    return content


def defaults() -> dict[str, str | None]:
    """Each variable's default, None where one has to be given."""
    return {
        found["name"]: found["text"] if found["rule"] == ":-" else None
        # Past the comments, which talk of variables too.
        for found in _VARIABLE.finditer(re.sub(r"(?m)^\s*#.*$", "", text()))
    }


def example() -> dict[str, str]:
    """deploy/.env.example; a value may name what stands above it."""
    found: dict[str, str] = {}
    for line in (DEPLOY / ".env.example").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found[name] = _VARIABLE.sub(lambda variable: found[variable["name"]], value)
    return found


def filled_in() -> dict[str, str]:
    """The example as a person would complete it."""
    return {name: value or f"f1lled1n-{number:050}" for number, (name, value) in enumerate(example().items())}
