"""Start gunicorn with gunicorn.conf.py: `python serve.py org_project.wsgi`. Options are gunicorn's.

gunicorn reads WEB_CONCURRENCY while it is imported, and shows a traceback for one that is no number.
"""

import runpy
import sys
from pathlib import Path

CONFIGURATION = str(Path(__file__).with_name("gunicorn.conf.py"))


def main() -> None:
    # Ends with a sentence where a variable is wrong. gunicorn reads the file again.
    runpy.run_path(CONFIGURATION)
    from gunicorn.app.wsgiapp import run  # type: ignore[import-untyped]  # noqa: PLC0415 - see above
    from gunicorn.errors import HaltServer  # type: ignore[import-untyped]  # noqa: PLC0415

    sys.argv[1:1] = ["--config", CONFIGURATION]
    try:
        run(prog="gunicorn")
    except HaltServer as halt:
        # A second worker has failed while gunicorn was ending because of the first.
        raise SystemExit(halt.exit_status) from None


if __name__ == "__main__":
    main()
