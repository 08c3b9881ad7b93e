"""What the documents name exists: every test that a guarantee stands on, and the code that a page shows."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.environment import ROOT

DOCUMENTS = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *ROOT.glob("*/README.md"),
    *ROOT.glob("examples/*/README.md"),
]
# `tests/a/test_b.py::test_c`, `tests/a/test_b.py -k "c or d"`, `tests/a/`
_TEST = re.compile(r"`(?:\./manage_scripts/test )?(tests/[\w/.]+)(?:::(\w+))?(?: -k (?:\"([^\"]+)\"|(\w+)))?`")
# `path/to/file.py`, an empty line, and code of it
_EXCERPT = re.compile(r"^`([\w/.]+)`\n\n```python\n(.*?)```$", re.DOTALL | re.MULTILINE)


def named_tests() -> Iterator[tuple[str, str, str, list[str]]]:
    """(document, path, function or "", words of -k)"""
    for document in DOCUMENTS:
        for path, function, quoted, word in _TEST.findall(document.read_text()):
            words = [each for each in re.findall(r"\w+", quoted or word) if each not in {"or", "and", "not"}]
            yield str(document.relative_to(ROOT)), path, function, words


def names_in(path: Path) -> str:
    """The names of tests there, with what may be a case's id: -k looks at both."""
    files = [path] if path.is_file() else list(path.rglob("*.py"))
    return "\n".join(file.name + "\n" + file.read_text() for file in files)


def test_guarantees_name_tests() -> None:
    assert len([each for each in named_tests() if each[0] == "docs/guarantees.md"]) > 20


def test_every_threat_names_its_test() -> None:
    table = (ROOT / "docs" / "security.md").read_text().partition("## Threats")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 30
    assert [row for row in rows if "`tests/" not in row and "| the same" not in row] == []


@pytest.mark.parametrize(("document", "path", "function", "words"), list(named_tests()))
def test_a_test_that_a_document_names_exists(document: str, path: str, function: str, words: list[str]) -> None:
    assert (ROOT / path).exists(), f"{document} names {path}"
    text = names_in(ROOT / path)
    assert f"def {function}" in text, f"{document} names {path}::{function}"
    missing = [word for word in words if word not in text]
    assert not missing, f"{document} selects {missing} in {path}"


def test_code_that_a_page_shows_is_that_of_the_file_it_names() -> None:
    excerpts = [(page, path, code) for page in DOCUMENTS for path, code in _EXCERPT.findall(page.read_text())]
    assert {page.name for page, _, _ in excerpts} >= {"new-consumer.md"}
    wrong = [(page.name, path, code) for page, path, code in excerpts if code not in (ROOT / path).read_text()]
    assert wrong == []
