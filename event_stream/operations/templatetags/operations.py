"""Template tags of the operations pages."""

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.template import Context
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString

from event_stream.operations.charts import HEIGHT, WIDTH, Chart
from event_stream.operations.pages import VIEW, Page, available_pages, may, url_name

register = template.Library()


@register.inclusion_tag("admin/event_stream_operations/navigation.html", takes_context=True)
def operations_navigation(context: Context, current: str = "") -> dict[str, Any]:
    """Links to the other pages. `current` is the slug of the one that is shown; any page may have them."""
    pages = available_pages() if may(context["request"].user, VIEW) else []
    return {"links": [(page.title, page_url(page), page.slug == current) for page in pages]}


@register.inclusion_tag("admin/event_stream_operations/sparkline.html")
def sparkline(chart: Chart) -> dict[str, Any]:
    return {"chart": chart, "width": WIDTH, "height": HEIGHT}


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    """How long ago that was; the exact time is in the title."""
    return "-" if moment is None else _time(moment, f"{duration(timezone.now() - moment)} ago")


@register.filter
def instant(text: str) -> datetime | None:
    """The instant that JSON says in the form of ISO 8601."""
    return parse_datetime(text)


@register.filter
def lasting(since: datetime | None) -> SafeString | str:
    """How long that has lasted; when it began is in the title."""
    return "-" if since is None else _time(since, duration(timezone.now() - since))


def _time(moment: datetime, text: str) -> SafeString:
    exact = f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S %Z}"
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(timespec="seconds"), exact, text)


@register.filter
def duration(length: timedelta | float | None) -> str:
    """A length of time (or a number of seconds), with one unit."""
    if length is None:
        return "-"
    seconds = max(0.0, length.total_seconds() if isinstance(length, timedelta) else length)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"


@register.filter
def number(value: float | None) -> str:
    """With separators, and no more digits than a person reads."""
    if value is None:
        return "-"
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}"


def page_url(page: Page) -> str:
    return reverse(f"admin:{url_name(page)}")
