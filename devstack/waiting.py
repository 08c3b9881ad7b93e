"""Wait for a condition, never for a number of seconds."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], *, within_s: float, every_s: float = 0.02) -> bool:
    """Poll `condition` until it is true or the deadline passes; returns whether it became true."""
    deadline = time.monotonic() + within_s
    while True:
        if condition():
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(every_s)
