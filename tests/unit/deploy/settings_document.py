"""Writes docs/settings.md: `python -m tests.unit.deploy.settings_document`. The settings are those that the code reads;
docs/settings.toml says what each does."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from typing import Any

from devstack.django_commands import JOURNAL, LICENSING, ORGANIZATION, Project
from devstack.environment import ROOT
from tests.unit.deploy.test_settings_rule import PLATFORMS, RIGHT

DOCUMENT = ROOT / "docs/settings.md"
DESCRIPTIONS = ROOT / "docs/settings.toml"
SERVICES: Mapping[Project, str] = {ORGANIZATION: "organization", LICENSING: "licensing", JOURNAL: "audit journal"}
DEFAULTS = {"WEB_CONCURRENCY": "-", "AUTH_JWKS_URL": "-", "OUTBOX_DATABASE_URL": "-"}
"""Of which the code's depend on something else, or on their being there."""
_CONFIG_FILE = {
    "should_be": "the path of a file with lines of NAME=value",
    "default": None,
    "applied_by": "restart",
    "services": ["organization", "licensing", "audit journal"],
}
_COLUMNS = ("setting", "what it does", "should be", "default", "applied by", "service")
_HEAD = f"| {' | '.join(_COLUMNS)} |\n{'|---' * len(_COLUMNS)}|\n"


def settings() -> dict[str, dict[str, Any]]:
    """Every setting by name, with its `services`."""
    found: dict[str, dict[str, Any]] = {"CONFIG_FILE": _CONFIG_FILE}
    platforms = json.dumps([RIGHT | platform for platform in PLATFORMS])
    for project, service in SERVICES.items():
        done = subprocess.run(
            [sys.executable, "-m", "tests.unit.deploy.settings_read", str(project.folder), platforms],
            env={"PATH": os.environ["PATH"]},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        for setting in json.loads(done.stdout):
            found.setdefault(setting["name"], {**setting, "services": []})["services"].append(service)
    return dict(sorted(found.items()))


def document() -> str:
    """Raises SystemExit for a setting without a description, and for a description without its setting."""
    found, about = settings(), tomllib.loads(DESCRIPTIONS.read_text())
    if unlike := found.keys() ^ about.keys():
        raise SystemExit(
            f"docs/settings.toml should describe each setting and nothing else: {', '.join(sorted(unlike))}"
        )
    lines = [
        f"| `{name}` | {about[name]} | {setting['should_be']} | {_default(name, setting['default'])} | "
        f"{setting['applied_by']} | {', '.join(setting['services'])} |"
        for name, setting in found.items()
    ]
    text, _, _ = DOCUMENT.read_text().partition(_HEAD)
    return text + _HEAD + "\n".join(lines) + "\n"


def _default(name: str, value: Any) -> str:
    if name in DEFAULTS:
        return DEFAULTS[name]
    if value == "...":
        return "needed"
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{','.join(value) if isinstance(value, list) else value}`"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
