"""The folders of the checkout, and the environment variables of child processes."""

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The checkout."""
LOCAL = ROOT / ".local"
"""Everything that is generated and never committed."""

# A database or a Java option of the person's own shell could do anything to our servers.
_KEPT_FOR_SERVERS = ("PATH", "HOME", "TMPDIR", "USER", "LOGNAME")


def server_environment(**more: str) -> dict[str, str]:
    """For PostgreSQL, Valkey and Kafka: nothing of the shell that could change how they behave."""
    kept = {name: os.environ[name] for name in _KEPT_FOR_SERVERS if name in os.environ}
    return kept | {"LC_ALL": "C", "TZ": "UTC"} | more


def service_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """For the services: the person's own environment (a LOG_LEVEL, a proxy), with `settings` on top."""
    # A test runner's settings module is not the service's.
    inherited = {
        name: value for name, value in os.environ.items() if name not in {"DJANGO_SETTINGS_MODULE", "PYTHONPATH"}
    }
    return inherited | {"PYTHONUNBUFFERED": "1"} | dict(settings)
