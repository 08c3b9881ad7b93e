"""A server's clock beside this machine's."""

import time
from collections.abc import Callable

from event_stream.doctor.finding import Finding, failed, ok, warning

TOLERATED_S = 10.0
_NOTED_SHARE = 0.1
_REMEDY = "let one time service (NTP) set the clocks of all machines"


def ahead_s(ask: Callable[[], float]) -> tuple[float, float]:
    """By how much the clock that `ask` reads is ahead of ours, and the error of that: half of how long asking took."""
    before = time.time()
    there = ask()
    after = time.time()
    return there - (before + after) / 2, (after - before) / 2


def clock(subject: str, ask: Callable[[], float], tolerated_s: float = TOLERATED_S) -> Finding:
    """`ask` returns seconds since the epoch. Apart by more than a tenth of what is tolerated is worth a warning."""
    ahead, error = ahead_s(ask)
    text = f"{abs(ahead):.3f} s {'ahead of' if ahead >= 0 else 'behind'} this machine's (± {error:.3f} s)"
    apart_s = abs(ahead) - error
    if apart_s > tolerated_s:
        return failed(subject, f"{text}; {tolerated_s:g} s are tolerated", _REMEDY)
    if apart_s > tolerated_s * _NOTED_SHARE:
        return warning(subject, text, _REMEDY)
    return ok(subject, text)
