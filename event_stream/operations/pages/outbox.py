"""The outbox: what waits, for how long, how fast it goes, and what can't be sent."""

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.http import HttpRequest

from event_stream.conf import configuration
from event_stream.operations import outbox
from event_stream.operations.actions import log_action
from event_stream.operations.charts import chart
from event_stream.operations.counts import capped
from event_stream.operations.models import Process
from event_stream.operations.outbox import ParkedFilter
from event_stream.operations.pages import ActionError, whole_number
from event_stream.operations.processes import running, seen_processes
from event_stream.operations.relays import AGE, PARKED, PUBLISHED, WAITING
from event_stream.operations.series import Combine, Series

_ENTRIES_SHOWN = 20
_SERIES = (
    Series(WAITING, "Waiting", "entries", combine=Combine.MAX),
    Series(AGE, "Oldest", "s", combine=Combine.MAX),
    Series(PUBLISHED, "Published", "entries", counted=True),
    Series(PARKED, "Parked", "entries", combine=Combine.MAX),
)


class OutboxPage:
    slug = "outbox"
    title = "Outbox"
    refreshes = True
    permission = "event_stream_outbox.change_outboxentry"

    def is_available(self) -> bool:
        return apps.is_installed("event_stream.outbox")

    def context(self, request: HttpRequest) -> Mapping[str, Any]:
        wanted = ParkedFilter(binding=request.GET.get("binding", ""), text=_text(request.GET.get("q", "")))
        relays = running(seen_processes(Process.Kind.RELAY))
        return {
            "waiting": outbox.waiting(),
            "rate": outbox.published_per_s(),
            "parked": outbox.parked_count(),
            "matching": capped(wanted.entries()),
            "wanted": wanted,
            "groups": outbox.parked_groups(wanted),
            "entries": wanted.entries().order_by("-parked_at")[:_ENTRIES_SHOWN],
            "grouped": outbox.GROUPED,
            "bindings": sorted(configuration().bindings),
            "charts": [chart(series) for series in _SERIES],
            "relays": relays,
            "leader": next((relay for relay in relays if relay.state.get("leads")), None),
        }

    def act(self, request: HttpRequest) -> str:
        if request.POST.get("action") != "send":
            raise ActionError("There is no such action.")
        typed = request.POST.get("id", "")
        id = whole_number(typed)
        if typed and id is None:
            raise ActionError("An entry's id is a whole number.")
        wanted = ParkedFilter(
            binding=request.POST.get("binding", ""),
            text=_text(request.POST.get("q", "")),
            error=_text(request.POST.get("error", "")),
            id=id,
        )
        before = capped(wanted.entries())
        sent = outbox.send_all_again(wanted)
        if not sent:
            raise ActionError("No parked entry matches any longer.")
        after = capped(wanted.entries())
        log_action(request.user.pk, _described(wanted), f"Sent again: {sent:,} parked entries.")
        left = f"; {after} still match" if after else ""
        return f"Of {before} parked entries that matched, {sent:,} are to be sent again{left}."


def _text(text: str) -> str:
    """PostgreSQL knows no text with a null character."""
    return text.replace("\0", "").replace("\r\n", "\n")


def _described(wanted: ParkedFilter) -> str:
    if wanted.id is not None:
        return f"outbox entry {wanted.id}"
    parts = [f"of {wanted.binding}" if wanted.binding else "", f"with {wanted.text!r}" if wanted.text else ""]
    parts.append(f"with the error {wanted.error!r}" if wanted.error else "")
    return " ".join(["parked entries", *filter(None, parts)])
