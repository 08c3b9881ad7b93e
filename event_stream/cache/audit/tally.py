"""How many of a sample were consistent, and what the sample allows to say about all."""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, lgamma, log, log1p

CONFIDENCE = 0.95


@dataclass(slots=True)
class Tally:
    """The checks that were made so long after the change."""

    after_s: float
    checked: int = 0
    stale: int = 0
    greatest_staleness_s: float = 0.0
    """The longest time for which something stale is known to have been served."""

    def add(self, *, stale_for_s: float | None) -> None:
        """One check; None where it was consistent."""
        self.checked += 1
        if stale_for_s is not None:
            self.stale += 1
            self.greatest_staleness_s = max(self.greatest_staleness_s, stale_for_s)

    @property
    def consistent_share(self) -> float | None:
        """From 0 to 1; None without a check."""
        return None if self.checked == 0 else 1 - self.stale / self.checked

    @property
    def stale_at_most(self) -> float:
        """The share of stale ones that 95 % of such samples would not exceed (Clopper and Pearson, one-sided).

        With none stale among n it is about 3/n; without a check it is 1: nothing is known.
        """
        if self.stale == self.checked:
            return 1.0
        return _bisect(lambda share: _at_most(self.stale, self.checked, share) - (1 - CONFIDENCE))


def _at_most(successes: int, trials: int, share: float) -> float:
    """The probability of at most so many successes, each with this probability."""
    logs = (
        lgamma(trials + 1) - lgamma(k + 1) - lgamma(trials - k + 1) + k * log(share) + (trials - k) * log1p(-share)
        for k in range(successes + 1)
    )
    return sum(map(exp, logs))


def _bisect(falling: Callable[[float], float]) -> float:
    """Where a falling function of 0 to 1 crosses 0."""
    low, high = 0.0, 1.0
    # 60 halvings are as fine as a float between 0 and 1 can be.
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return high
