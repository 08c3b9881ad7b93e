"""docs/architecture.md lists the packages that are there, no others, and its walks are as long as it says."""

import re
import subprocess

import pytest

from devstack.environment import ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text()
TRACKED = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
).stdout.splitlines()
_ROW = re.compile(r"^\| `([\w/]+)/` \|", re.MULTILINE)
_WALK = re.compile(r"^### [^\n]*: (\d+) files\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
_STEP = re.compile(r"^(\d+)\. \[`[^`]+`\]\(([^)]+)\): \S", re.MULTILINE)
LISTED = _ROW.findall(TEXT)


def folders(parent: str) -> set[str]:
    """Folders below `parent` ("" for the root) that hold a file of the repository; hidden ones are the tools' own."""
    inside = [path.removeprefix(parent) for path in TRACKED if path.startswith(parent) and (ROOT / path).exists()]
    return {parent + path.partition("/")[0] for path in inside if "/" in path and not path.startswith(".")}


def test_every_package_is_listed_once() -> None:
    assert len(LISTED) == len(set(LISTED))


def test_every_top_level_package_is_listed_and_no_other() -> None:
    assert {name for name in LISTED if "/" not in name} == folders("")


def test_every_chapter_of_event_stream_is_listed_and_no_other() -> None:
    assert {name for name in LISTED if "/" in name} == folders("event_stream/")


@pytest.mark.parametrize(("title", "limit"), [("A `PUT`", 20), ("A `GET`", 12)])
def test_a_walk_is_as_short_as_it_says(title: str, limit: int) -> None:
    [(count, walk)] = [
        (int(found[1]), found[2]) for found in _WALK.finditer(TEXT) if found[0].startswith(f"### {title}")
    ]
    steps = _STEP.findall(walk)
    assert [int(number) for number, _ in steps] == list(range(1, count + 1))
    assert len({path for _, path in steps}) == count <= limit
    assert [path for _, path in steps if not (ROOT / "docs" / path).is_file()] == []
