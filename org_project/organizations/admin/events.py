"""What has been told of an organization, so that one change can be followed from here to the topic."""

import uuid

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from event_stream.outbox.models import OutboxEntry
from organizations import events

LATEST = 10


def event_table(organization_id: uuid.UUID) -> SafeString:
    """The latest events with where they lie; each correlation id links to everything of its transaction."""
    entries = OutboxEntry.objects.filter(binding=events.BINDING, key=str(organization_id)).order_by("-id")[:LATEST]
    rows = format_html_join(
        "",
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        (
            (
                f"{localtime(entry.written_at):%Y-%m-%d %H:%M:%S}",
                entry.payload.get("action", ""),
                entry.version or "",
                _state(entry),
                _transaction(entry.correlation_id),
            )
            for entry in entries
        ),
    )
    heads = format_html_join(
        "", "<th>{}</th>", ((head,) for head in (_("written"), _("action"), _("version"), _("state"), _("correlation")))
    )
    return format_html("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>", heads, rows)


def _state(entry: OutboxEntry) -> str:
    if entry.published_at:
        return _("published: partition %(partition)s, offset %(offset)s") % {
            "partition": entry.partition,
            "offset": entry.offset,
        }
    return _("parked: %(error)s") % {"error": entry.error} if entry.parked_at else _("waiting")


def _transaction(correlation_id: str) -> str:
    changelist = reverse("admin:event_stream_outbox_outboxentry_changelist")
    return format_html('<a href="{}?{}">{}</a>', changelist, urlencode({"q": correlation_id}), correlation_id)
