"""Run as `python -m tests.unit.deploy.settings_read PROJECT_FOLDER '[{"NAME": "right value"}, …]'`.

Prints as JSON every setting that a project and gunicorn read with any of these environments, as the readers noted it:
what it should be, its default, and what applies a new value.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from service_kit.settings import sources
from tests.unit.deploy.read_settings import load


@dataclass(frozen=True, slots=True)
class Setting:
    """`default` is null where there is none, and "..." where the setting has to be there."""

    name: str
    should_be: str
    default: Any
    applied_by: str


def read() -> list[Setting]:
    return [
        Setting(
            reading.name,
            reading.should_be,
            "..." if reading.default is ... else reading.default,
            {None: "restart", "GUNICORN": "SIGHUP"}.get(reading.scope, "refresh"),
        )
        for reading in sources.snapshot().readings.values()
        if reading.should_be
    ]


def main(folder: str, right_values: str) -> None:
    project = Path(folder)
    sys.path.insert(0, str(project))
    found: dict[str, Setting] = {}
    for right in json.loads(right_values):
        os.environ.clear()
        os.environ.update(right)
        load(project)
        for setting in read():
            # LOG_LEVEL is gunicorn's, too.
            if setting.name not in found or setting.applied_by == "refresh":
                found[setting.name] = setting
    sys.stdout.write(json.dumps([asdict(setting) for setting in found.values()], default=str) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
