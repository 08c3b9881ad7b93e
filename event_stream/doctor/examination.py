"""What a check has found: one line for a person, one object for a script."""

import enum
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from django.db import connections


class Level(enum.StrEnum):
    """From harmless to not."""

    OK = "ok"
    NOT_TOLD = "n/a"
    """The platform never tells this; there is nothing to be looked at."""
    UNKNOWN = "unknown"
    """Could not be looked at this time, so it may be well or not."""
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


def not_told(subject: str, text: str) -> Finding:
    return Finding(Level.NOT_TOLD, subject, text)


def unknown(subject: str, text: str) -> Finding:
    return Finding(Level.UNKNOWN, subject, text)


def warning(subject: str, text: str, remedy: str) -> Finding:
    return Finding(Level.WARNING, subject, text, remedy)


def failed(subject: str, text: str, remedy: str) -> Finding:
    return Finding(Level.FAILED, subject, text, remedy)


logger = logging.getLogger("event_stream.doctor")

Check = Callable[[], Iterable[Finding]]
"""Yields what it finds, bad news as findings and not as errors. Runs on a thread of its own, beside the others."""

DEADLINE_S = 15.0

_checks: dict[str, Check] = {}


def register(name: str, check: Check) -> None:
    """Have `manage.py doctor` make a check; one of the same name is replaced."""
    _checks[name] = check


def registered() -> Mapping[str, Check]:
    return dict(_checks)


def examine(checks: Mapping[str, Check], deadline_s: float = DEADLINE_S) -> Iterator[Finding]:
    """Run checks side by side, so that a server that hangs costs its deadline once and hides nothing else.

    Yields the findings in the order of the checks, those of a check as soon as it is through.
    """
    deadline = time.monotonic() + deadline_s
    results = {name: _begin(name, check) for name, check in checks.items()}
    for name, result in results.items():
        try:
            yield from result.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            yield failed(name, f"no end after {deadline_s:g} s", "look at the server that it asks: it hangs")


def _begin(name: str, check: Check) -> "Future[list[Finding]]":
    result: Future[list[Finding]] = Future()

    def run() -> None:
        try:
            result.set_result(list(check()))
        except Exception as error:
            logger.exception("doctor.broke", extra={"check": name})
            text = f"the check itself broke: {type(error).__name__}: {error}"
            result.set_result([failed(name, text, "see the traceback in the log")])
        finally:
            # Of this thread alone; nobody else would.
            connections.close_all()

    # A daemon: the command does not wait for one that hangs.
    threading.Thread(target=run, name=f"doctor-{name}", daemon=True).start()
    return result
