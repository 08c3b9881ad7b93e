"""One base class of every command: it escapes what is written, and makes a sentence of a fault of the database."""

import ast
import io
import unicodedata
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import Error, OperationalError, ProgrammingError
from hypothesis import given
from hypothesis import strategies as st

import event_stream
from event_stream.terminal import TerminalCommand, escaped

ROOT = Path(event_stream.__file__).parents[1]
FOREIGN = "key \x1b[2J\r\x00\x7f\x9b31m\u202e\u2066\u2028 end"


class Shouting(TerminalCommand):
    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(FOREIGN)
        self.stderr.write(FOREIGN)
        self.stdout.write("styled", lambda text: f"\x1b[32m{text}\x1b[0m")
        raise CommandError(FOREIGN)


def controls(text: str) -> set[str]:
    kinds = {"Cc", "Zl", "Zp"}
    bidirectional = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return {
        character
        for character in text
        if (unicodedata.category(character) in kinds or unicodedata.bidirectional(character) in bidirectional)
        and character not in "\n\t"
    }


@given(st.text())
def test_no_control_character_passes_and_nothing_else_changes(text: str) -> None:
    assert not controls(escaped(text))
    if not controls(text) and not set(text) & set("\u061c\u200e\u200f"):
        assert escaped(text) == text


def test_a_command_writes_nothing_foreign_unescaped(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(CommandError):
        call_command(Shouting(), stdout=out, stderr=err)
    assert out.getvalue().endswith("\x1b[32mstyled\n\x1b[0m")
    assert not controls(out.getvalue().partition("\n")[0] + err.getvalue().replace("\x1b[31;1m", ""))
    assert "\\u001b[2J" in out.getvalue()
    with pytest.raises(SystemExit):
        Shouting().run_from_argv(["manage.py", "shouting", "--no-color"])
    captured = capsys.readouterr()
    assert "CommandError: key \\u001b[2J" in captured.err
    assert not controls(captured.out.partition("\n")[0] + captured.err)


def test_every_command_is_one_of_these() -> None:
    # Not those of the environment, nor those of an earlier commit that benchmarks have unpacked below `.local`.
    modules = list(ROOT.glob("[!.]*/**/management/commands/[a-z]*.py"))
    assert len(modules) > 10
    for module in modules:
        classes = [node for node in ast.parse(module.read_text()).body if isinstance(node, ast.ClassDef)]
        bases = [ast.unparse(base) for node in classes if node.name == "Command" for base in node.bases]
        assert bases[:1] == ["TerminalCommand"], module


class Failing(TerminalCommand):
    database_exit_code = 7

    def __init__(self, error: Error) -> None:
        super().__init__()
        self.error = error

    def handle(self, *args: Any, **options: Any) -> None:
        raise self.error


def test_a_fault_of_the_database_is_a_sentence_and_another_error_of_it_a_traceback() -> None:
    with pytest.raises(CommandError) as raised:
        call_command(Failing(OperationalError("connection refused\n\tIs the server running?")))
    assert str(raised.value).startswith("The database has failed: connection refused. Run the command again")
    assert raised.value.returncode == 7
    missing = ProgrammingError('relation "things" does not exist\nLINE 1: SELECT 1 FROM things')
    missing.__cause__ = psycopg.errors.UndefinedTable()
    with pytest.raises(CommandError) as raised:
        call_command(Failing(missing))
    assert str(raised.value) == (
        'The database lacks what this version needs: relation "things" does not exist. Run manage.py migrate.'
    )
    error = ProgrammingError("syntax error")
    error.__cause__ = psycopg.errors.SyntaxError("syntax error")
    with pytest.raises(ProgrammingError):
        call_command(Failing(error))
