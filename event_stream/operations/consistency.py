"""The consistency meter: changes are sampled, and read again as a request reads them, some time after the change.

What it finds is recorded with the samples of the process that measures, and so outlives it.
"""

import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from event_stream.clock import Clock
from event_stream.errors import UnavailableError
from event_stream.fenced_cache import CacheStatus, FetchFailed, Found, State
from event_stream.fenced_cache.audit import ChangeAudit, Check, Tally
from event_stream.fenced_cache.cache import FencedCache, Reading
from event_stream.fenced_cache.entry import Change
from event_stream.fenced_cache.invalidators import Decode
from event_stream.operations import series, workers
from event_stream.operations.pages import register
from event_stream.operations.settings import operations_settings

AFTER_S = (0.0, 1.0, 5.0, 30.0, 60.0)
"""0 is as soon as the meter hears of the change."""
STALENESS_S = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, math.inf)
"""Upper ends of the classes of the histogram."""
CHECKED, STALE, LATE, STALENESS = (f"consistency.{name}." for name in ("checked", "stale", "late", "staleness"))
_LATE_S = 0.5
_MANY = 1_000
_Z = 1.6449
"""Of the one-sided 95 % limit of a normal distribution, which is near enough to a binomial one of so many."""


class ConsistencyMeter:
    """A change audit whose checks are counted for the page. Give `audit` to a worker, and `samples` to its report.

    `find` looks an id up as a request does. At most `per_s` changes a second are sampled.
    """

    def __init__(self, cache: FencedCache, decode: Decode, find: Callable[[str], Found], *, per_s: float) -> None:
        self._find = find
        self._clock: Clock = cache.clock
        self._pause_s = 1 / per_s
        self._next_s = 0.0
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self.audit = ChangeAudit(cache, decode, AFTER_S, read=self._read, takes=self._takes, checked=self._count)

    def samples(self) -> Mapping[str, float]:
        """What was counted since the last call."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        return {name: float(count) for name, count in counts.items()}

    def _read(self, id: str) -> Reading:
        try:
            found = self._find(id)
        except FetchFailed as error:
            raise UnavailableError(str(error)) from error
        # An answer that is marked as stale promises nothing.
        state = State.STALE if found.source is CacheStatus.STALE else State.HIT
        # The version of an absence is a clock's time, which no change is newer than.
        return Reading(state, found.value, found.version, found.fresh_at_ms)

    def _takes(self, change: Change) -> bool:
        now_s = self._clock.monotonic_s()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._pause_s
        return True

    def _count(self, check: Check) -> None:
        after = f"{check.after_s:g}"
        with self._lock:
            if check.is_stale:
                self._counts[CHECKED + after] += 1
                self._counts[STALE + after] += 1
                bound_s = next(bound_s for bound_s in STALENESS_S if check.made_s <= bound_s)
                self._counts[f"{STALENESS}{bound_s:g}"] += 1
            elif check.made_s > check.after_s + _LATE_S and check.after_s > 0:
                # That it is consistent by now says nothing of the time at which it was to be read.
                self._counts[LATE + after] += 1
            else:
                self._counts[CHECKED + after] += 1


@dataclass(frozen=True, slots=True)
class ConsistencyRow:
    """What was found some time after a change. Shares are in percent."""

    after_s: float
    checked: int
    stale: int
    late: int

    @property
    def consistent_percent(self) -> float | None:
        return (1 - self.stale / self.checked) * 100 if self.checked else None

    @property
    def stale_at_most(self) -> float:
        """The upper 95 % confidence limit of the share that is stale, from 0 to 1."""
        if self.checked and self.stale > _MANY:
            share = self.stale / self.checked
            return min(1.0, share + _Z * math.sqrt(share * (1 - share) / self.checked))
        return Tally(self.after_s, self.checked, self.stale).stale_at_most

    @property
    def proven_percent(self) -> float:
        """At least so many are consistent, at 95 % confidence."""
        return (1 - self.stale_at_most) * 100

    @property
    def nines(self) -> int:
        """How many nines that is: 3 for 99.9 %. More reads without a stale one prove more of them."""
        return math.floor(-math.log10(self.stale_at_most) + 1e-9) if self.checked else 0


@dataclass(frozen=True, slots=True)
class StalenessClass:
    """Stale reads that were made up to `bound_s` after the change, and longer after it than the class before says."""

    bound_s: float
    count: int


@dataclass(frozen=True, slots=True)
class Consistency:
    since: datetime
    rows: Sequence[ConsistencyRow]
    histogram: Sequence[StalenessClass]


def consistency() -> Consistency:
    """What was found within the retention."""
    since = timezone.now() - timedelta(days=operations_settings().retention_days)

    def total(name: str) -> int:
        return round(series.total(name, since))

    rows = [
        ConsistencyRow(after_s, *(total(f"{name}{after_s:g}") for name in (CHECKED, STALE, LATE)))
        for after_s in AFTER_S
    ]
    histogram = [StalenessClass(bound_s, total(f"{STALENESS}{bound_s:g}")) for bound_s in STALENESS_S]
    return Consistency(since, rows, histogram)


@dataclass(frozen=True, slots=True)
class MeasuredCache:
    """`command` is what measures, as one types it, reading for `binding`."""

    binding: str
    command: str
    max_staleness_s: Callable[[], float]


_measured: list[MeasuredCache] = []


def show_consistency(measured: MeasuredCache) -> None:
    """Give the consistency of this cache a page. An app calls it in `AppConfig.ready`."""
    # The page is about what is here.
    from event_stream.operations.pages.consistency import ConsistencyPage  # noqa: PLC0415

    _measured[:] = [measured]
    register(ConsistencyPage())


def measured_cache() -> MeasuredCache | None:
    return _measured[0] if _measured else None


def record_with_worker(meter: ConsistencyMeter, binding: str) -> None:
    """Have the worker of this process that reads for the binding record what the meter counts."""
    workers.sample_also(binding, meter.samples)
