"""What a check has found: one line for a person, one object for a script."""

import enum
from dataclasses import dataclass


class Level(enum.StrEnum):
    """From harmless to not."""

    OK = "ok"
    UNKNOWN = "unknown"
    """Could not be looked at, or the platform does not tell; whatever hinders it has a line of its own."""
    WARNING = "warning"
    """Works, but less well, or not for long, or not if something else fails."""
    FAILED = "failed"
    """Does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`remedy` is what to do about it; "" where nothing is to be done."""

    level: Level
    subject: str
    text: str
    remedy: str = ""


def ok(subject: str, text: str) -> Finding:
    return Finding(Level.OK, subject, text)


def unknown(subject: str, text: str) -> Finding:
    return Finding(Level.UNKNOWN, subject, text)


def warning(subject: str, text: str, remedy: str) -> Finding:
    return Finding(Level.WARNING, subject, text, remedy)


def failed(subject: str, text: str, remedy: str) -> Finding:
    return Finding(Level.FAILED, subject, text, remedy)
