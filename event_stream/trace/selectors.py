"""Reads this service's own part of a trace. Every query is bounded, whatever the size of the change."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db.models import Count, F, Max, Min, Q, QuerySet

from event_stream.conf import configuration
from event_stream.trace.models import CacheFill, HandledBatch, ParkedRecord, PartitionState, SettledRecord
from event_stream.trace.parts import Change, Consumed, Fill, Group, Handled, Parked, Part, Produced, Span, Standing
from event_stream.trace.settings import trace_settings
from event_stream.user_context import USER_ID

if TYPE_CHECKING:
    from event_stream.outbox.models import OutboxEntry

MAX_CHANGES = 500
"""So many changes of a transaction are shown one by one: first those that wait or are parked, then the latest sent."""
MAX_COUNTED = 100_000
MAX_SPANS = 64
_MAX_BATCHES = 1_000
_MAX_FILLS = 500
_BATCHES_BEYOND = 20
"""Several groups, and batches that were handled again, may end at the same offset."""
_OUTBOX = "event_stream_outbox"
# The admin writes its log in the transaction of the change.
_LOGGED_BEFORE, _LOGGED_WITHIN = timedelta(seconds=1), timedelta(seconds=10)


def own_part(
    correlation_id: str,
    *,
    spans: Sequence[Span] = (),
    versions: Iterable[tuple[str, int]] = (),
    named_users: bool = False,
) -> Part:
    """Return what this service knows: of its own messages, and of those in the `spans` of others.

    `versions` are the keys, each with its version, whose first fill is looked for. `named_users`: for a person who
    may see the names in this service's admin; other services get ids.
    """
    produced = _produced(correlation_id, named_users=named_users)
    if produced is not None:
        spans = [*spans, *produced.spans]
        versions = [*versions, *versions_of(produced.changes)]
    return Part(trace_settings().service, produced, _consumed(correlation_id, spans[:MAX_SPANS], versions))


def versions_of(changes: Iterable[Change]) -> list[tuple[str, int]]:
    return [(change.key, change.version) for change in changes if change.version is not None]


def changes_of(key: str, *, version: int | None = None, limit: int = 10) -> list[Change]:
    """Return the latest changes of a key that this service has published, or those of one version, the newest first."""
    if not apps.is_installed("event_stream.outbox"):
        return []
    rows = _outbox().filter(binding__in=list(configuration().bindings), key=key, version__isnull=False)
    if version is not None:
        rows = rows.filter(version=version)
    return [_change(row) for row in rows.order_by("-version", "-id")[:limit]]


# The producer's side: the outbox.


def _outbox() -> "QuerySet[OutboxEntry]":
    model: type[OutboxEntry] = apps.get_model(_OUTBOX, "OutboxEntry")
    return model._default_manager.all()


def _produced(correlation_id: str, *, named_users: bool) -> Produced | None:
    if not apps.is_installed("event_stream.outbox"):
        return None
    # Tables of an app that need not be installed can't be imported above.
    from event_stream.outbox.selectors import leading_backend  # noqa: PLC0415

    everything = _outbox().filter(correlation_id=correlation_id)
    counted = everything.filter(pk__in=everything.order_by("pk").values("pk")[:MAX_COUNTED])
    unsent, parked = Q(published_at=None, parked_at=None), Q(published_at=None, parked_at__isnull=False)
    totals = counted.aggregate(
        total=Count("pk"),
        sent=Count("pk", filter=Q(published_at__isnull=False)),
        parked=Count("pk", filter=parked),
        first_unsent=Min("pk", filter=unsent),
    )
    rows = list(everything.order_by(F("published_at").desc(nulls_first=True), "pk")[:MAX_CHANGES])
    first_unsent = totals["first_unsent"]
    ahead = 0
    if first_unsent is not None:
        ahead = _outbox().filter(unsent, pk__lt=first_unsent).order_by()[:MAX_COUNTED].count()
    users = _admin_user(rows, named=named_users) if len(rows) == 1 else ""
    return Produced(
        total=totals["total"],
        sent=totals["sent"],
        parked=totals["parked"],
        capped=totals["total"] == MAX_COUNTED,
        changes=tuple(_change(row, users) for row in sorted(rows, key=lambda row: row.pk)),
        spans=tuple(_spans(counted)),
        relay_leads=None if first_unsent is None else leading_backend() is not None,
        ahead=ahead,
    )


def _change(row: "OutboxEntry", user: str = "") -> Change:
    return Change(
        correlation_id=row.correlation_id,
        key=row.key,
        version=row.version,
        destination=_destination(row.binding),
        written_at=row.written_at,
        sent_at=row.published_at,
        partition=row.partition,
        offset=row.offset,
        parked_at=row.parked_at,
        error=row.error,
        by_trigger=row.by_trigger,
        user=str(row.headers.get(USER_ID, "")) or user,
        requested_at=row.requested_at,
        written_by=row.written_by,
        sent_by=row.published_by,
    )


def _destination(binding: str) -> str:
    known = configuration().bindings.get(binding)
    return binding if known is None else known.destination


def _spans(rows: "QuerySet[OutboxEntry]") -> list[Span]:
    grouped: Any = (
        rows.filter(offset__isnull=False)
        .order_by("binding", "partition")
        .values("binding", "partition")
        .annotate(first=Min("offset"), last=Max("offset"), count=Count("pk"))
    )
    return [
        Span(_destination(row["binding"]), row["partition"], row["first"], row["last"], row["count"])
        for row in grouped[:MAX_SPANS]
    ]


def _admin_user(rows: "list[OutboxEntry]", *, named: bool) -> str:
    """The user whose change the admin has logged at that moment; "" where there is none."""
    if not apps.is_installed("django.contrib.admin"):
        return ""
    from django.contrib.admin.models import LogEntry  # noqa: PLC0415

    [row] = rows
    around = (row.written_at - _LOGGED_BEFORE, row.written_at + _LOGGED_WITHIN)
    entries = LogEntry.objects.filter(object_id=row.key, action_time__range=around).order_by("action_time")
    entry = entries.select_related("user").first()
    if entry is None:
        return ""
    return f"{entry.user.get_username()}, in the admin" if named else f"user {entry.user.pk}, in the admin"


# The consumer's side: what was recorded here.


def _consumed(correlation_id: str, spans: Sequence[Span], versions: Iterable[tuple[str, int]]) -> Consumed:
    settings = trace_settings()
    bindings = [configuration().bindings[name] for name in settings.consumes]
    groups = tuple(Group(binding.destination, binding.group or "", settings.cache is not None) for binding in bindings)
    if not groups:
        return Consumed()
    ours = Q(group__in={group.name for group in groups})
    parked = tuple(_parked(ours, spans))
    places = (
        Span(it.destination, it.replay_partition, it.replay_offset, it.replay_offset)
        for it in parked
        if it.replay_partition is not None and it.replay_offset is not None
    )
    replays = list(islice(dict.fromkeys(places), MAX_SPANS))
    spans = [*spans, *replays]
    return Consumed(
        groups=groups,
        batches=tuple(_batches(ours, spans)),
        standings=tuple(_standings(ours, spans)),
        parked=tuple(dict.fromkeys((*parked, *_parked(ours, replays)))),
        fills=tuple(_fills(correlation_id, versions)),
    )


def _in_partition(span: Span) -> Q:
    return Q(destination=span.destination, partition=span.partition)


def _batches(ours: Q, spans: Sequence[Span]) -> Iterable[Handled]:
    for span in spans:
        in_order = HandledBatch.objects.filter(ours, _in_partition(span)).order_by("last_offset", "id")
        # Those that end inside of the span, and the next ones: each reads no more of the index than that.
        ending = in_order.filter(last_offset__range=(span.first, span.last))[:_MAX_BATCHES]
        beyond = in_order.filter(last_offset__gt=span.last)[:_BATCHES_BEYOND]
        rows = [*ending, *(row for row in beyond if row.first_offset <= span.last)]
        for row in rows:
            yield Handled(
                row.destination,
                row.group,
                row.partition,
                row.first_offset,
                row.last_offset,
                row.received_at,
                row.handled_at,
                row.process,
                row.evictions,
            )


def _standings(ours: Q, spans: Sequence[Span]) -> Iterable[Standing]:
    for span in spans:
        for row in PartitionState.objects.filter(ours, _in_partition(span)):
            yield Standing(
                row.destination,
                row.group,
                row.partition,
                row.position,
                row.seen_at,
                row.process,
                row.paused_at,
                row.reason,
                row.stopped,
            )


def _parked(ours: Q, spans: Sequence[Span]) -> Iterable[Parked]:
    for span in spans:
        rows = ParkedRecord.objects.filter(
            ours, _in_partition(span), offset__gte=span.first, offset__lte=span.last
        ).order_by("offset")
        settled = {
            (row.group, row.offset): row
            for row in SettledRecord.objects.filter(
                ours, _in_partition(span), offset__gte=span.first, offset__lte=span.last
            ).order_by("id")[:_MAX_BATCHES]
        }
        for row in rows[:_MAX_BATCHES]:
            settlement = settled.get((row.group, row.offset))
            yield Parked(
                row.destination,
                row.group,
                row.partition,
                row.offset,
                row.parked_at,
                row.process,
                row.error,
                row.blocked,
                *((settlement.settled_at, settlement.replay_partition, settlement.replay_offset) if settlement else ()),
            )


def _fills(correlation_id: str, versions: Iterable[tuple[str, int]]) -> Iterable[Fill]:
    wanted = Q(correlation_id=correlation_id)
    for key, version in versions:
        wanted |= Q(key=key, version__gte=version)
    for row in CacheFill.objects.filter(wanted).order_by("version", "id")[:_MAX_FILLS]:
        yield Fill(row.key, row.version, row.filled_at, row.answered_at, row.process, row.correlation_id)
