"""Several commands of a Django project in one process: `python call_commands.py PROJECT_FOLDER '[["migrate"], …]'`.

Loading Django takes longer than most of them. Imports nothing of this project.
"""

import json
import os
import sys
from pathlib import Path


def main() -> None:
    folder = Path(sys.argv[1])
    sys.path[0] = str(folder)
    os.environ["DJANGO_SETTINGS_MODULE"] = f"{folder.name}.settings"
    import django  # noqa: PLC0415 - after the settings have a name
    from django.core.management import CommandError, call_command  # noqa: PLC0415

    django.setup()
    for name, *arguments in json.loads(sys.argv[2]):
        try:
            call_command(name, *arguments)
        except CommandError as error:
            # A second run finds its admin there already, and that is all that was asked for.
            if not (name == "createsuperuser" and "already taken" in str(error)):
                sys.exit(f"{name}: {error}")


if __name__ == "__main__":
    main()
