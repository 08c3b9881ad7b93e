"""Run as a script: `read_settings.py PROJECT_FOLDER '[{"NAME": "right value"}, …]' 'WRONG VALUES BY READER'`. Reads
the settings of a Django project and of gunicorn, first with right values, then each variable with each wrong value.

Prints as JSON the reader of each variable, and what was said of each wrong value: null where it was taken.
"""

import functools
import importlib
import inspect
import json
import os
import runpy
import sys
import tempfile
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

import service_kit.settings
from service_kit.settings import environment

ROOT = Path(__file__).parents[3]
CONTROL = "a\0b"
READERS: dict[str, str] = {}


def record_readers() -> None:
    """Note who is the first to read each variable: readers are made of others."""
    for name, reader in inspect.getmembers(environment, inspect.isfunction):
        parameters = inspect.signature(reader).parameters
        if reader.__module__ == environment.__name__ and next(iter(parameters), "") == "name" and name != "is_set":
            setattr(environment, name, _recorded(name, reader))


def _recorded(kind: str, reader: Any) -> Any:
    @functools.wraps(reader)
    def read(name: str, *args: Any, **options: Any) -> Any:
        READERS.setdefault(name, kind)
        return reader(name, *args, **options)

    return read


def load(project: Path) -> None:
    """Read the settings again. Raises ImproperlyConfigured, or SystemExit as gunicorn's configuration does."""
    runpy.run_path(str(ROOT / "deploy/gunicorn/gunicorn.conf.py"))
    for name in [name for name in sys.modules if name.endswith(".settings") and not name.startswith("django")]:
        if not name.startswith(("service_kit", "event_stream")):
            del sys.modules[name]
    sys.modules.pop("service_kit.settings.base", None)
    if hasattr(service_kit.settings, "base"):
        del service_kit.settings.base
    importlib.import_module(f"{project.name}.settings")


def said(project: Path, right: dict[str, str], name: str, value: str) -> str | None:
    given = {key: text for key, text in right.items() if key != name}
    with tempfile.NamedTemporaryFile("w") as file:
        if value == CONTROL:
            # No variable of the environment can hold it.
            file.write(value)
            file.flush()
            given[f"{name}_FILE"] = file.name
        else:
            given[name] = value
        os.environ.clear()
        os.environ.update(given)
        try:
            load(project)
        except (ImproperlyConfigured, SystemExit) as error:
            return str(error).removeprefix("gunicorn can't start: ")
        except Exception as error:  # noqa: BLE001 - to be seen by the test
            return f"{type(error).__name__}: {error}"
        return None


def main(folder: str, right_values: str, wrong_values: str) -> None:
    project, wrong = Path(folder), json.loads(wrong_values)
    sys.path.insert(0, str(project))
    record_readers()
    outcomes = []
    for right in json.loads(right_values):
        tried = set(READERS)
        os.environ.clear()
        os.environ.update(right)
        load(project)
        outcomes += [
            (name, value, said(project, right, name, value))
            for name in sorted(set(READERS) - tried)
            for value in [*wrong.get(READERS[name], ()), CONTROL]
        ]
    sys.stdout.write(json.dumps({"readers": READERS, "outcomes": outcomes}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
