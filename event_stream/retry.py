"""How long to wait before the next attempt."""

import random

_random = random.SystemRandom()


def backoff_s(attempt: int, initial_s: float, maximum_s: float) -> float:
    """Seconds before attempt number `attempt` (from 1): doubling, bounded, and each between half and whole of that.

    The chance keeps workers that failed together from coming back together.
    """
    # 2.0 ** 64 is beyond any maximum, and keeps the power finite.
    whole = min(maximum_s, initial_s * 2.0 ** min(attempt - 1, 64))
    return whole * _random.uniform(0.5, 1.0)
