"""Time as a value that can be handed in, so that tests need not wait."""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for what is compared between machines, monotonic time for what is waited for."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""

    def monotonic_s(self) -> float: ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()
