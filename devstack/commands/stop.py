"""Stop a running ./manage_scripts/run, wherever it was started: ./manage_scripts/stop"""

import argparse
import os
import signal
import sys
from pathlib import Path

from devstack.errors import StackError
from devstack.run_state import DEFAULT_DATA, RunLock, is_running
from devstack.waiting import wait_until

_PATIENCE_S = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="stop", description=__doc__)
    parser.add_argument(
        "--data", type=Path, metavar="DIR", default=DEFAULT_DATA, help="of the run (default: .local/run)"
    )
    data = parser.parse_args().data.resolve()
    if not is_running(data):
        print("Nothing is running.")
        return 0
    lock = RunLock(data)
    pid = lock.holder()
    if pid is None:
        raise StackError(f"The run on the data in {data} is only starting: try again.")
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        print(f"The run (pid {pid}) is gone; waiting for its servers to stop.")
    if not wait_until(lock.is_free, within_s=_PATIENCE_S, every_s=0.1):
        print(f"The run (pid {pid}) did not stop within {_PATIENCE_S:.0f} s.", file=sys.stderr)
        return 1
    print("Stopped.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
