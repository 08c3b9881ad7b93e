"""The services log one JSON object a line; this reads what they say about themselves."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from devstack.waiting import wait_until

Entry = dict[str, Any]


def entries(log: Path, start: int = 0) -> Iterator[Entry]:
    """Every complete JSON line from the byte `start` on; other lines (a traceback) are passed over."""
    if not log.exists():
        return
    with log.open("rb") as file:
        file.seek(start)
        for line in file:
            if line.startswith(b"{") and line.endswith(b"\n"):
                yield json.loads(line)


def has_event(log: Path, event: str, start: int = 0) -> bool:
    return any(entry.get("event") == event for entry in entries(log, start))


def wait_for_entry(log: Path, matches: Callable[[Entry], bool], *, start: int = 0, within_s: float) -> Entry | None:
    """The first entry from `start` on that matches; None if none came before the deadline."""
    matching: list[Entry] = []

    def look() -> bool:
        matching.extend(entry for entry in entries(log, start) if matches(entry))
        return bool(matching)

    return matching[0] if wait_until(look, within_s=within_s) else None
