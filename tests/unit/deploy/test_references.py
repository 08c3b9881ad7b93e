"""docs/api.md is what OpenAPI says, and docs/headers.md has the headers of the code, each where it says."""

import ast
import re
import subprocess
from collections.abc import Iterator

import pytest

from devstack import api_reference
from devstack.environment import ROOT

PAGE = ROOT / "docs" / "headers.md"
TEXT = PAGE.read_text()
_FILE = re.compile(r"\]\(([^)#]+)\)")
_CODE = re.compile(r"`([^`]+)`")
_OURS = re.compile(r"(tmx|dead-letter|event-stream)-[a-z-]+|Organization(-[A-Z][a-z]+)+")
_THREADS = {"dead-letter-settlement"}
ROWS = [
    (list[str](_CODE.findall(cells[0])), _FILE.findall(line))
    for line in TEXT.splitlines()
    if line.startswith("| `")
    for cells in [line.strip("|").split(" | ")]
]


def constants() -> dict[str, set[str]]:
    """The names of constants, by the header that they hold."""
    found: dict[str, set[str]] = {}
    for name, value in assigned():
        for text in ast.walk(value):
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                found.setdefault(text.value, set()).add(name)
    return found


def assigned() -> Iterator[tuple[str, ast.expr]]:
    for path in ("event_stream/user_context.py", "event_stream/messaging/headers.py"):
        for node in ast.parse((ROOT / path).read_text()).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                yield node.targets[0].id, node.value


CONSTANTS = constants()


def spellings(header: str) -> list[str]:
    """In code: in full, as a constant of ours, as WSGI has it, or as the name of a CloudEvents attribute."""
    attribute = [header.removeprefix("ce_")] if header.startswith("ce_") else []
    return [header, f"HTTP_{header.upper().replace('-', '_')}", *CONSTANTS.get(header, ()), *attribute]


@pytest.mark.parametrize(("headers", "files"), ROWS, ids=lambda value: value[0] if value else "")
def test_a_header_is_in_the_files_that_set_and_read_it(headers: list[str], files: list[str]) -> None:
    for file in files:
        text = (PAGE.parent / file).read_text()
        missing = [header for header in headers if not any(spelling in text for spelling in spellings(header))]
        assert missing == [], file


def test_every_header_of_ours_in_the_code_is_listed() -> None:
    listed = {header for headers, _ in ROWS for header in headers}
    tracked = subprocess.run(
        ["git", "ls-files", "event_stream/*.py", "service_kit/*.py", "org_project/*.py", "licensing_project/*.py"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    strings = {
        node.value
        for path in tracked
        if (ROOT / path).exists()
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    used = {text for text in strings if _OURS.fullmatch(text)} - _THREADS
    # The headers of a dead letter are put together from a prefix; its module lists them.
    record = (ROOT / "event_stream" / "dead_letters" / "record.py").read_text()
    used |= set(re.findall(r"^(dead-letter-[a-z]+) ", record, re.MULTILINE))
    assert used - listed == set()
    assert {header for header in listed if _OURS.fullmatch(header)} - used == set()


def test_the_page_of_the_api_is_that_of_the_code() -> None:
    """`python -m devstack.api_reference` writes it."""
    documents = api_reference.documents()
    assert api_reference.PAGE.read_text() == api_reference.page(documents)
    listed = {header for headers, _ in ROWS for header in headers}
    named = {one["name"] for one in headers_of(documents)}
    assert {name for name in named if _OURS.fullmatch(name)} - listed == set()


def headers_of(documents: dict[str, api_reference.Document]) -> Iterator[dict[str, str]]:
    for document in documents.values():
        for operations in document["paths"].values():
            for operation in operations.values():
                yield from (one for one in operation.get("parameters", []) if one["in"] == "header")
                for answer in operation["responses"].values():
                    yield from ({"name": name} for name in answer.get("headers", {}))
