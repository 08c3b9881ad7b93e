"""How the commands of this package end: SIGTERM and SIGINT set a flag, and the loop looks at it."""

import signal
import threading
from types import FrameType


def stop_on_signals() -> threading.Event:
    """Set by SIGTERM and SIGINT. Nothing else happens in their handler: what it interrupts may hold any lock."""
    stop = threading.Event()

    def handler(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)
    return stop
