"""Links from pages of the admin to the trace of a change, where `event_stream.trace` is installed."""

from django.apps import apps
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from event_stream.user_context import is_acceptable


def trace_link(correlation_id: str) -> SafeString | str:
    """Return the correlation id as a link to its trace; without the app, as it is."""
    if not apps.is_installed("event_stream.trace") or not is_acceptable(correlation_id):
        return correlation_id or "-"
    url = reverse("admin:event_stream_trace_trace_change", args=[correlation_id])
    return format_html('<a href="{}">{}</a>', url, correlation_id)


def changes_link(key: str, text: str) -> SafeString | str:
    """Return `text` as a link to the latest changes of a key; "-" without the app."""
    if not apps.is_installed("event_stream.trace") or not is_acceptable(key):
        return "-"
    url = reverse("admin:event_stream_trace_trace_changelist")
    return format_html('<a href="{}?{}">{}</a>', url, urlencode({"key": key}), text)
