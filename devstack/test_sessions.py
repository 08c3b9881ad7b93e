"""One process can't load two Django settings modules, so the tests run in several pytest sessions, one after another.

A folder of `tests/` that is named like a session belongs to it; every other folder belongs to the session `other`.
"""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.django_commands import JOURNAL
from devstack.environment import ROOT

TESTS = ROOT / "tests"
SESSION_VARIABLE = "TEST_SESSION"


class Brokers(enum.Enum):
    """Which of the platforms that carry messages a session has to do with."""

    ONE = "the one that carries the services' messages"
    ALL = "every one: its tests choose"
    EACH = "every one: it runs once on each"


@dataclass(frozen=True, slots=True)
class Session:
    """A pytest process: which settings it loads, the folder put on its path, the database it may use."""

    name: str
    settings: str | None = None
    python_path: Path | None = None
    database: str = "postgres"
    brokers: Brokers = Brokers.ONE


OTHER = Session("other")
SESSIONS = (
    Session("org_project", "org_project.settings", ROOT / "org_project", database="organization"),
    Session("licensing_project", "licensing_project.settings", ROOT / "licensing_project", database="licensing"),
    Session("audit_journal", "audit_journal.settings", JOURNAL.folder, database=JOURNAL.database),
    Session("event_stream", "tests.event_stream.settings", database="event_stream", brokers=Brokers.ALL),
    OTHER,
    Session("e2e", brokers=Brokers.EACH),
)
# Folders whose tests start what they need themselves, or need nothing.
_WITHOUT_SERVERS = {"kit", "model", "devstack"}

# Options of pytest whose value is an argument of its own, and might look like a path.
_TAKES_VALUE = {"-k", "-m", "-p", "-c", "-o", "-W", "-n", "--ignore", "--deselect", "--maxfail", "--durations", "--tb"}


def session_of(path: Path) -> Session | None:
    """The session that collects `path`; None for what every session passes through (`tests/` itself and above)."""
    if not path.is_relative_to(TESTS) or path == TESTS:
        return None
    folder = path.relative_to(TESTS).parts[0]
    return next((session for session in SESSIONS if session.name == folder), OTHER)


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """pytest's arguments, apart: those that name tests (`path`, `path::test`), and the options."""
    selections, options = [], []
    value_follows = False
    for argument in arguments:
        if not value_follows and not argument.startswith("-") and _path(argument).exists():
            selections.append(argument)
        else:
            options.append(argument)
        value_follows = argument in _TAKES_VALUE
    return selections, options


def concerned(selections: Iterable[str]) -> dict[Session, list[str]]:
    """The sessions that have something to run, each with its own selections; all of them where nothing is selected."""
    paths = {selection: session_of(_path(selection)) for selection in selections}
    if not paths:
        return {session: [str(TESTS)] for session in SESSIONS}
    chosen = {
        session: [selection for selection, owner in paths.items() if owner in (session, None)] for session in SESSIONS
    }
    return {session: selected for session, selected in chosen.items() if selected}


def needs_servers(selections: Iterable[str]) -> bool:
    """Whether anything selected talks to PostgreSQL, Valkey or Kafka that the runner has to start."""
    paths = [_path(selection) for selection in selections]
    return not paths or any(
        session_of(path) is None or path.relative_to(TESTS).parts[0] not in _WITHOUT_SERVERS for path in paths
    )


def _path(selection: str) -> Path:
    return Path(selection.partition("::")[0]).resolve()
