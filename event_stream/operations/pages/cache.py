"""The cache: how often it answers, how fresh it is, and what it holds for one id."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from event_stream.errors import EventStreamError, UnavailableError
from event_stream.fenced_cache.cache import Eviction, FillOutcome
from event_stream.fenced_cache.explain import Explanation, explain
from event_stream.fenced_cache.read_through import CacheStatus
from event_stream.operations import series
from event_stream.operations.actions import log_action
from event_stream.operations.cache import STALENESS, ObservedCache, observed_cache, watermarks
from event_stream.operations.charts import SPAN, chart, drawn
from event_stream.operations.pages import OPERATE, ActionError
from event_stream.operations.series import Combine, Point, Series
from event_stream.operations.web import FAILED, FILLS, LOOKUPS

_LONGEST_ID = 200
_REFUSED = (FillOutcome.LEASE_LOST, FillOutcome.OLDER)


@dataclass(frozen=True, slots=True)
class Totals:
    """Of the web processes, within the time of the charts, as far as it is recorded."""

    lookups: Mapping[str, int]
    fills: Mapping[str, int]

    @property
    def count(self) -> int:
        return sum(self.lookups.values())

    @property
    def hit_percent(self) -> float | None:
        return self.lookups[CacheStatus.HIT.value] / self.count * 100 if self.count else None

    @property
    def refused_fills(self) -> int:
        return sum(self.fills[outcome.name.lower()] for outcome in _REFUSED)


class CachePage:
    slug = "cache"
    title = "Cache"
    refreshes = True
    permission = OPERATE

    def is_available(self) -> bool:
        return observed_cache() is not None

    def context(self, request: HttpRequest) -> Mapping[str, Any]:
        observed = _observed()
        wanted = request.GET.get("id", "").strip()[:_LONGEST_ID]
        context: dict[str, Any] = {
            "observed": observed,
            "max_staleness_s": observed.cache().settings.max_staleness_s,
            "totals": totals(),
            "charts": _charts(),
            "wanted": wanted,
        }
        try:
            if observed.has_log():
                rows = watermarks(observed)
                ages = [row.age_s for row in rows]
                known = [age_s for age_s in ages if age_s is not None]
                context |= {"watermarks": rows, "staleness_s": max(known) if len(known) == len(ages) else None}
            if wanted:
                context["explanation"] = _explained(observed, wanted)
        except UnavailableError as error:
            context["unavailable"] = str(error)
        except ActionError as error:
            context["mistake"] = str(error)
        return context

    def act(self, request: HttpRequest) -> str:
        observed = _observed()
        id = _id(observed, request.POST.get("id", ""))
        action = request.POST.get("action")
        if action == "evict":
            observed.cache().evict([Eviction(id)])
            log_action(request.user.pk, f"{observed.noun} {id}", "Evicted from the cache.")
            return f"The {observed.noun} {id} is evicted: the next lookup asks the origin."
        if action == "lookup":
            try:
                found = observed.lookup(id)
            except EventStreamError as error:
                raise ActionError(f"The lookup of {id} failed: {error}") from error
            age_s = (observed.cache().clock.now_ms() - found.fresh_at_ms) / 1000
            what = f"there is no such {observed.noun}" if found.value is None else f"version {found.version}"
            return f"The {observed.noun} {id}: {found.source.value}, {what}, known to be current {age_s:.3f} s ago."
        raise ActionError("There is no such action.")


def totals() -> Totals:
    since = timezone.now() - SPAN
    statuses = [*(status.value for status in CacheStatus), FAILED]
    lookups = {status: int(series.total(LOOKUPS + status, since)) for status in statuses}
    fills = {outcome.name.lower(): int(series.total(FILLS + outcome.name.lower(), since)) for outcome in FillOutcome}
    return Totals(lookups, fills)


def _charts() -> list[Any]:
    until = timezone.now()
    refused = [
        series.points(Series(FILLS + outcome.name.lower(), "", counted=True), until - SPAN, until)
        for outcome in _REFUSED
    ]
    by_status = {
        status: series.points(Series(LOOKUPS + status.value, "", counted=True), until - SPAN, until)
        for status in CacheStatus
    }
    every, hits = _added(list(by_status.values())), {point.at: point.value for point in by_status[CacheStatus.HIT]}
    rate = [Point(point.at, hits.get(point.at, 0.0) / point.value * 100) for point in every if point.value]
    return [
        drawn(Series("hit rate", "Hit rate", "%"), rate, until, SPAN),
        drawn(Series("lookups", "Lookups", "", counted=True), every, until, SPAN),
        drawn(Series("refused", "Refused fills", "", counted=True), _added(refused), until, SPAN),
        chart(Series(STALENESS, "Staleness", "s", combine=Combine.MAX)),
    ]


def _added(several: list[list[Point]]) -> list[Point]:
    sums: dict[Any, float] = {}
    for one in several:
        for point in one:
            sums[point.at] = sums.get(point.at, 0.0) + point.value
    return [Point(at, value) for at, value in sorted(sums.items())]


def _observed() -> ObservedCache:
    observed = observed_cache()
    if observed is None:
        raise ActionError("This service has no cache.")
    return observed


def _id(observed: ObservedCache, typed: str) -> str:
    id = observed.canonical_id(typed.strip()[:_LONGEST_ID])
    if id is None:
        raise ActionError(f"{typed.strip()[:_LONGEST_ID]!r} is no id of an {observed.noun}.")
    return id


def _explained(observed: ObservedCache, typed: str) -> Explanation:
    return explain(observed.cache(), _id(observed, typed))
