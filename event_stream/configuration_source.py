"""Which configuration this process runs, and how to have it read again. A service tells both here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ConfigurationSource:
    """Both may be called on any thread, and raise nothing."""

    refresh: Callable[[], object]
    """Read the settings again, and apply what is new."""
    state: Callable[[], Mapping[str, Any]]
    """What anybody may know, as JSON can say it: `version`, `readAt` (ISO 8601), `needsRestart` (names of settings) and
    `error`."""


_source: ConfigurationSource | None = None


def keep_configuration(source: ConfigurationSource) -> None:
    """Have the processes of this service follow requests to refresh, and report which configuration they run."""
    global _source  # noqa: PLW0603 - one for each process
    _source = source


def configuration_source() -> ConfigurationSource | None:
    """Return it; None where nobody reads settings again."""
    return _source
