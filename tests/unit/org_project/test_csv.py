"""An export is CSV without formulas, and importing it changes nothing."""

import csv
import io
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.environment import ROOT
from organizations.importing import FIELDS, Line, read_csv, read_lines
from service_kit.csv_text import escape_formula, unescape_formula, write_csv

_FORMULA = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_PRODUCT = ("event_stream", "service_kit", "org_project", "licensing_project", "devstack", "examples")

# NUL, which no field takes, is replaced on the way in.
texts = st.text(st.characters(exclude_characters="\0") | st.sampled_from("'=+-@\t\r\n\"\\,;\uff1d"), max_size=20)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ('=HYPERLINK("https://example.org")', '\'=HYPERLINK("https://example.org")'),
        ("+1 202 555 0100", "'+1 202 555 0100"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("\uff1d1", "'\uff1d1"),
        ("'=1", "''=1"),
        ("'tis", "'tis"),
        ("Acme = we", "Acme = we"),
        ("", ""),
    ],
)
def test_a_formula_is_escaped_and_nothing_else(text: str, cell: str) -> None:
    assert escape_formula(text) == cell
    assert unescape_formula(cell) == text


@given(texts)
def test_unescaping_undoes_escaping(text: str) -> None:
    assert unescape_formula(escape_formula(text)) == text
    assert not _FORMULA.match(escape_formula(text))


@given(st.lists(st.tuples(*[texts] * len(FIELDS)), max_size=5))
def test_importing_an_export_gives_the_same_values(rows: list[tuple[str, ...]]) -> None:
    file = io.StringIO(newline="")
    write_csv(file, [FIELDS, *rows])
    file.seek(0)
    assert [line.values for line in read_csv(read_lines(file)) if isinstance(line, Line)] == [
        dict(zip(FIELDS, row, strict=True)) for row in rows
    ]
    file.seek(0)
    assert not any(_FORMULA.match(cell) for row in csv.reader(file) for cell in row)


def test_nothing_else_writes_csv() -> None:
    command = ["git", "grep", "-lE", r"csv\.(writer|DictWriter)|import (writer|DictWriter)", "--", *_PRODUCT]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.stdout.split() == ["service_kit/csv_text.py"]
