"""Every public name is in REFERENCE.md, with the words of its docstring; and nothing else is."""

import importlib
import inspect
import pkgutil
import re
import tomllib
from pathlib import Path

import pytest

import event_stream

FOLDER = Path(event_stream.__file__).parent
_ROW = re.compile(r"^\| `(\w+)` \| (.*) \|$", re.MULTILINE)
DOCUMENTED = {
    module: dict(_ROW.findall(text))
    for module, text in re.findall(
        r"^## ([\w.]+)\n(.*?)(?=^## |\Z)", (FOLDER / "REFERENCE.md").read_text(), re.DOTALL | re.MULTILINE
    )
}
# Its parts are for the package's own commands.
PRIVATE = {"event_stream.doctor", "event_stream.fenced_cache.audit", "event_stream.fenced_cache.read_through"}


def packages_with_public_names() -> list[str]:
    found = ["event_stream", *(each.name for each in pkgutil.walk_packages([str(FOLDER)], "event_stream."))]
    paths = {name: FOLDER.parent.joinpath(*name.split(".")) for name in found}
    files = {name: path / "__init__.py" if path.is_dir() else path.with_suffix(".py") for name, path in paths.items()}
    return [name for name, file in files.items() if "__all__ = " in file.read_text() and name not in PRIVATE]


@pytest.mark.parametrize("module", packages_with_public_names())
def test_every_public_name_is_documented(module: str) -> None:
    assert set(importlib.import_module(module).__all__) == DOCUMENTED[module].keys()


@pytest.mark.parametrize("module", DOCUMENTED)
def test_what_is_documented_is_there_and_says_the_same(module: str) -> None:
    for name, words in DOCUMENTED[module].items():
        found = getattr(importlib.import_module(module), name)
        if inspect.isclass(found) or inspect.isfunction(found):
            assert words == (inspect.getdoc(found) or "").splitlines()[0]
        assert words


def test_the_changelog_begins_with_the_version_that_is_built() -> None:
    project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text())["project"]
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", (FOLDER / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == project["version"]
    assert versions == sorted(versions, key=lambda it: tuple(map(int, it.split("."))), reverse=True)
