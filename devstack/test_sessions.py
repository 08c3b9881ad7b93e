"""One process can't load two Django settings modules, so the tests run in several pytest sessions.

A session names the folders of `tests/` that belong to it; what no session names belongs to the session `other`.
"""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.django_commands import JOURNAL
from devstack.environment import ROOT
from devstack.errors import StackError

TESTS = ROOT / "tests"
SESSION_VARIABLE = "TEST_SESSION"


class Brokers(enum.Enum):
    """Which of the platforms that carry messages a session has to do with."""

    NONE = "none: its tests need no server at all"
    ONE = "the one that carries the services' messages"
    ALL = "every one: its tests choose"
    EACH = "every one: it runs once on each"


@dataclass(frozen=True, slots=True)
class Session:
    """A pytest process: the folders it collects, the settings it loads, the folder put on its path, its database."""

    name: str
    folders: tuple[str, ...] = ()
    settings: str | None = None
    python_path: Path | None = None
    database: str = "postgres"
    brokers: Brokers = Brokers.ONE


_ORGANIZATION = ROOT / "org_project"
_LICENSING = ROOT / "licensing_project"

OTHER = Session("other")
UNIT_SESSIONS = (
    Session("model", ("model",), brokers=Brokers.NONE),
    Session("unit event_stream", ("unit/event_stream",), "tests.event_stream.settings", brokers=Brokers.NONE),
    Session("unit org_project", ("unit/org_project",), "org_project.settings", _ORGANIZATION, brokers=Brokers.NONE),
    Session(
        "unit licensing_project",
        ("unit/licensing_project",),
        "licensing_project.settings",
        _LICENSING,
        brokers=Brokers.NONE,
    ),
    Session("unit", ("unit/deploy", "unit/devstack", "unit/faults"), brokers=Brokers.NONE),
)
# After those of the unit tier the longest first, so that sessions which run side by side end at about the same time.
SESSIONS = (
    *UNIT_SESSIONS,
    Session("faults", ("faults", "consistency")),
    OTHER,
    Session("event_stream", ("event_stream",), "tests.event_stream.settings", None, "event_stream", Brokers.ALL),
    Session("e2e each", ("e2e/each_binder",), brokers=Brokers.EACH),
    Session("org_project", ("org_project",), "org_project.settings", _ORGANIZATION, "organization"),
    Session("e2e", ("e2e/any_binder",)),
    Session("licensing_project", ("licensing_project",), "licensing_project.settings", _LICENSING, "licensing"),
    Session("audit_journal", ("audit_journal",), "audit_journal.settings", JOURNAL.folder, JOURNAL.database),
)
# Folders of `other` whose tests start what they need themselves, or need nothing.
_WITHOUT_SERVERS = {"kit", "devstack"}

# Options of pytest whose value is an argument of its own, and might look like a path.
_TAKES_VALUE = {"-k", "-m", "-p", "-c", "-o", "-W", "-n", "--ignore", "--deselect", "--maxfail", "--durations", "--tb"}


def sessions_of(path: Path) -> set[Session]:
    """The sessions that may collect something at or below `path`; one alone, unless their folders are below it."""
    if not path.is_relative_to(TESTS) or path == TESTS:
        return set(SESSIONS)
    folders = [(session, TESTS / folder) for session in SESSIONS for folder in session.folders]
    owners = {session for session, folder in folders if path.is_relative_to(folder) or folder.is_relative_to(path)}
    return owners or {OTHER}


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """pytest's arguments, apart: those that name tests (`path`, `path::test`), and the options with their values.

    Raises StackError for a path that is not there.
    """
    selections, options = [], []
    value_follows = False
    for argument in arguments:
        if value_follows or argument.startswith("-"):
            options.append(argument)
        elif _path(argument).exists():
            selections.append(argument)
        elif "/" in argument or "::" in argument:
            raise StackError(f"No such path: {argument}.")
        else:
            # The value of an option that is not in the list.
            options.append(argument)
        value_follows = argument in _TAKES_VALUE
    return selections, options


def concerned(selections: Iterable[str]) -> dict[Session, list[str]]:
    """The sessions that have something to run, each with its own selections; all of them where nothing is selected."""
    owners = {selection: sessions_of(_path(selection)) for selection in selections}
    if not owners:
        return {session: [str(TESTS)] for session in SESSIONS}
    chosen = {session: [selection for selection, of in owners.items() if session in of] for session in SESSIONS}
    return {session: selected for session, selected in chosen.items() if selected}


def needs_servers(selections: Iterable[str]) -> bool:
    """Whether anything selected talks to PostgreSQL, Valkey or Kafka that the runner has to start."""
    paths = [_path(selection) for selection in selections]
    return not paths or any(_needs_servers(path) for path in paths)


def _needs_servers(path: Path) -> bool:
    if sessions_of(path) == {OTHER}:
        return path.relative_to(TESTS).parts[0] not in _WITHOUT_SERVERS
    return any(session.brokers is not Brokers.NONE for session in sessions_of(path))


def _path(selection: str) -> Path:
    return Path(selection.partition("::")[0]).resolve()
