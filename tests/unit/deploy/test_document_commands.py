"""Every command that a document names exists, with its options; docs/commands.md lists ours; console blocks are run."""

import re
import subprocess
from collections.abc import Iterator, Mapping

import pytest

from devstack import command_reference
from devstack.environment import ROOT
from tests.unit.deploy.document_commands import GUIDES, IN_THE_STACK, calls, console_commands

Commands = Mapping[str, Mapping[str, command_reference.Command]]

PAGES = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    if not name.endswith("CHANGELOG.md") and (ROOT / name).exists()
]
RUN_BY = {
    r"\./manage_scripts/run": "tests/devstack/test_run.py",
    r"\./manage_scripts/test.*": "tests/devstack/test_outcome.py",
    r"python manage\.py (migrate|consume_journal)": "tests/e2e/any_binder/test_audit_journal.py",
    r"\.venv/bin/python -m event_stream\.testing\.schemas .*": "tests/unit/event_stream/test_schemas.py",
}
"""Other console commands of the guides, by the test that runs them."""
NOT_RUN = {
    r"\./manage_scripts/manage org makemigrations organizations": "writes a migration into the checkout",
    r"sed .* settings\.env": "edits the reader's own settings",
    r"grep -h CORRELATION_ID .*": "reads the log of a stack that a person has started",
}
"""Those that no test runs, and why."""
_OF_PYTEST = {"--tb"}


@pytest.fixture(scope="module")
def commands() -> Commands:
    return command_reference.commands()


def options(command: command_reference.Command) -> set[str]:
    """Of the command and its subcommands."""
    own = {name for names, _, _ in command["arguments"] for name in names}
    return own.union(*(options(subcommand) for subcommand in command["commands"].values()))


def mistakes(commands: Commands) -> Iterator[str]:
    projects = [commands[project] for project in command_reference.PROJECTS]
    ours = {name for project in projects for name, command in project.items() if command["ours"]}
    for page in PAGES:
        for call in calls(page, ours):
            places = [command_reference.SCRIPTS] if not call.is_management else list(command_reference.PROJECTS)
            found = [commands[place][call.name] for place in places if call.name in commands[place]]
            where = f"{call.page}: {call.name}"
            if not found:
                yield f"{where} does not exist"
                continue
            known = set().union(*(options(command) for command in found)) | {"--help", "--verbosity", "--traceback"}
            yield from (f"{where} has no {option}" for option in call.options if option not in known | _OF_PYTEST)
            subcommands = {name for command in found for name in command["commands"]}
            word = next(iter(call.words), "")
            if subcommands and re.fullmatch("[a-z]+", word) and word not in subcommands:
                yield f"{where} has no {word}"


def test_each_command_and_option_that_a_document_names_exists(commands: Commands) -> None:
    assert list(mistakes(commands)) == []


def test_the_list_of_commands_is_that_of_the_code(commands: Commands) -> None:
    """`python -m devstack.command_reference` writes it."""
    assert command_reference.PAGE.read_text() == command_reference.page(commands)


def test_each_console_command_of_a_guide_is_run_by_a_test_or_excused() -> None:
    commands = {command for page in GUIDES for command in console_commands(page)}
    left = {command for command in commands if not command.startswith(IN_THE_STACK)}
    known = {pattern: {each for each in left if re.fullmatch(pattern, each)} for pattern in [*RUN_BY, *NOT_RUN]}
    assert left - set().union(*known.values()) == set()
    assert [pattern for pattern, matched in known.items() if not matched] == []
    assert [test for test in RUN_BY.values() if not (ROOT / test).exists()] == []
