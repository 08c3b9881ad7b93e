"""A member of a group that is killed: `python -m event_stream.testing.dying_member`, for the conformance suite.

It is told on its standard input (pickle) how to make the binder, of what binding, and how many records to read. Then it
sends itself SIGKILL: nothing is committed, closed or said.
"""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable

from event_stream.conf import Binding
from event_stream.messaging.binder import Binder
from event_stream.testing.reader import Reader


def read_and_die(make_binder: Callable[[], Binder], binding: Binding, count: int, timeout_s: float) -> None:
    """Returns once such a member has read so many records and is dead. Raises AssertionError if it could not."""
    done = subprocess.run(  # noqa: S603 - this interpreter and this module
        [sys.executable, "-m", __name__],
        input=pickle.dumps((make_binder, binding, count)),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
        timeout=timeout_s,
    )
    if done.returncode != -signal.SIGKILL:
        raise AssertionError(f"the member ended with {done.returncode}:\n{done.stderr.decode()}")


def _main() -> None:
    make_binder, binding, count = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    Reader(make_binder(), binding).read(count)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    _main()
