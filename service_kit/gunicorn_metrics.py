"""What gunicorn's processes count, in files that they share: hooks for `gunicorn.conf.py`.

Each worker writes files of its own, and whichever is asked adds them up. prometheus_client names them by process id,
so a server that replaces its workers for a year has thousands of files to read at each scrape. Here they are named by a
number that a worker has while it lives and its successor gets after it (`gunicorn_balance.assign_number`): the
successor counts on where it left off, no count goes back, and there are never more files than there were workers at
once.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "gunicorn-metrics-"


def make_directory(server: Any) -> None:
    """`on_starting`: a fresh one for each master, also for one that is to replace another (USR2)."""
    parent = Path(server.cfg.worker_tmp_dir or tempfile.gettempdir())
    for left_over in parent.glob(f"{_PREFIX}*"):
        # Of a master that was killed.
        if not _is_alive(left_over.name.removeprefix(_PREFIX).partition("-")[0]):
            shutil.rmtree(left_over, ignore_errors=True)
    os.environ[DIRECTORY] = server.metrics_directory = tempfile.mkdtemp(prefix=f"{_PREFIX}{server.pid}-", dir=parent)


def use_number(server: Any, worker: Any) -> None:
    """`post_fork`, before the application, and with it the first metric, is loaded."""
    from prometheus_client import values  # noqa: PLC0415 - it looks for the directory when it is imported

    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: worker.number)


def remove_gauges(server: Any, worker: Any) -> None:
    """`child_exit`: what a dead process was doing just now counts no longer."""
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415 - as above

    mark_process_dead(worker.number, server.metrics_directory)


def remove_directory(server: Any) -> None:
    """`on_exit`."""
    shutil.rmtree(server.metrics_directory, ignore_errors=True)


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        # Somebody else's.
        return True
    return True
