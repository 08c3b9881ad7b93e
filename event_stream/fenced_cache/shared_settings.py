"""The settings that all processes of a cache must have in common, and how two of them differ."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SILENT_AFTER_S = 15.0
"""A worker that has not renewed its record for this long is gone."""
RENEW_EVERY_S = 3.0
RETIRED_AFTER_S = 5.0
"""After one worker has stopped; longer than others of its kind take to renew the record."""


@dataclass(frozen=True, slots=True)
class SharedSettings:
    """Settings by name. With other ones, a process looks for entries where no worker evicts them."""

    values: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """A short name for these settings. Every epoch begins with that of the worker that began it."""
        return hashlib.sha256(self.as_json().encode()).hexdigest()[:8]

    def as_json(self) -> str:
        return json.dumps(dict(sorted(self.values.items())), separators=(",", ":"))

    def differing(self, other: "SharedSettings") -> set[str]:
        """The names of the settings that are not the same."""
        return {
            name for name in self.values.keys() | other.values.keys() if self.values.get(name) != other.values.get(name)
        }

    def difference(self, recorded: "SharedSettings") -> str:
        """How these differ from the recorded ones, in words: "partitions is 5 here and 6 at the worker"."""
        here, there = self.values, recorded.values
        return ", ".join(
            f"{name} is {here.get(name, 'not set')} here and {there.get(name, 'not set')} at the worker"
            for name in sorted(self.differing(recorded))
        )


@dataclass(frozen=True, slots=True)
class SettingsRecord:
    """What a worker has written about itself: its settings, and when it was there (by Redis' clock)."""

    settings: SharedSettings
    seen_ms: int


def parse_record(raw: bytes | None) -> SettingsRecord | None:
    """None for no record, and for bytes that are none: the next worker writes it again."""
    if raw is None:
        return None
    try:
        _, seen_ms, text = raw.split(b"|", 2)
        values: Any = json.loads(text)
        return SettingsRecord(SharedSettings({str(name): str(value) for name, value in values.items()}), int(seen_ms))
    except (ValueError, AttributeError):
        return None
