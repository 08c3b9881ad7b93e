"""Known vulnerabilities of the libraries that the services run with: pip-audit asks the package index's advisories.

Where nobody answers (a mirror has packages, and mostly no advisories), that is said, and is no failure.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from devstack.environment import ROOT

_ASKED_ABOUT = ROOT / "deploy" / "requirements.txt"
_PATIENCE_S = 120
# The file pins all that it names: nothing has to be resolved.
_OPTIONS = ("--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json")


@dataclass(frozen=True, slots=True)
class Advisories:
    """`found` are sentences; `unasked` says what could not be asked about, and why, or is empty."""

    asked: int
    found: Sequence[str] = ()
    unasked: str = ""


def ask() -> Advisories:
    """About each library of deploy/requirements.txt."""
    argv = [sys.executable, "-m", "pip_audit", *_OPTIONS, "--requirement", str(_ASKED_ABOUT)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        return Advisories(0, unasked=f"no answer within {_PATIENCE_S} s")
    return read(done.stdout, done.stderr)


def read(answer: str, complaint: str) -> Advisories:
    """What pip-audit has written to its two outputs."""
    try:
        libraries: list[dict[str, Any]] = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        lines = complaint.strip().splitlines()
        return Advisories(0, unasked=lines[-1] if lines else "pip-audit says nothing")
    skipped = [library for library in libraries if "skip_reason" in library]
    unasked = f"{len(skipped)} of {len(libraries)}: {skipped[0]['skip_reason']}" if skipped else ""
    found = [
        f"{library['name']} {library['version']}: {advisory['id']}, "
        f"fixed in {', '.join(advisory['fix_versions']) or 'none'}"
        for library in libraries
        for advisory in library.get("vulns", ())
    ]
    return Advisories(len(libraries) - len(skipped), found, unasked)
