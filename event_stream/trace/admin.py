"""Pages in the admin: look for a change, see its timeline, and why an answer had its version."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django import forms
from django.apps import apps
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_safe

from event_stream.trace import drawing, report
from event_stream.trace.inquiry import find_changes, find_trace
from event_stream.trace.models import Trace
from event_stream.trace.settings import trace_settings
from event_stream.trace.timeline import ONE_BY_ONE, Line
from event_stream.trace.timeline import Trace as Timeline
from event_stream.trace.why import find_reasons
from event_stream.user_context import is_acceptable

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Trace]
else:
    ModelAdmin = admin.ModelAdmin

_OPEN_BELOW = 4
"""Up to so many messages have their timelines open."""


def _acceptable(value: str) -> None:
    if not is_acceptable(value):
        raise ValidationError("It should have 1 to 128 letters, digits and . _ : @ / + = -")


class KeyForm(forms.Form):
    """Its field `key` has the name that a key has in this system."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["key"].label = trace_settings().key_name.capitalize()


class SearchForm(KeyForm):
    """A correlation id, or a key and perhaps its version."""

    id = forms.CharField(label="Correlation id", required=False, validators=[_acceptable])
    key = forms.CharField(required=False, validators=[_acceptable])
    version = forms.IntegerField(required=False, min_value=0)


class WhyForm(KeyForm):
    """What the headers of an answer say."""

    key = forms.CharField(validators=[_acceptable])
    version = forms.IntegerField(min_value=0)
    fresh_at = forms.DateTimeField(
        label="Fresh at", required=False, help_text="The instant at which the answer was proven current, with its zone."
    )


@dataclass(frozen=True, slots=True)
class Drawn:
    """One message's timeline."""

    line: Line
    bars: list[drawing.Bar]

    @property
    def title(self) -> str:
        change = self.line.change
        version = "" if change.version is None else f", version {change.version}"
        return f"{change.key or 'a message without a key'}{version}"


@admin.register(Trace)
class TraceAdmin(ModelAdmin):
    """Read only; the permission `view_trace` is needed."""

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"

        def view(function: Any) -> Any:
            return self.admin_site.admin_view(require_safe(function))

        return [
            path("", view(self.search_view), name=f"{name}_changelist"),
            path("why/", view(self.why_view), name=f"{name}_why"),
            path("of/<path:correlation_id>/", view(self.trace_view), name=f"{name}_change"),
        ]

    def search_view(self, request: HttpRequest) -> HttpResponse:
        form = SearchForm(request.GET or None)
        history = None
        if form.is_valid():
            id, key, version = (form.cleaned_data[name] for name in ("id", "key", "version"))
            if id:
                return HttpResponseRedirect(reverse("admin:event_stream_trace_trace_change", args=[id]))
            history = find_changes(key, version) if key else None
        context = {"form": form, "history": history, "title": "Trace of a change"}
        return self._page(request, "search", context)

    def trace_view(self, request: HttpRequest, correlation_id: str) -> HttpResponse:
        if not is_acceptable(correlation_id):
            raise Http404("No correlation id looks like that.")
        trace = find_trace(correlation_id)
        context = {
            "title": f"Trace {correlation_id}",
            "trace": trace,
            "verdict": report.verdict(trace),
            "summary": report.summary(trace),
            **_timelines(trace),
        }
        return self._page(request, "trace", context, refreshes=not (trace.is_complete or trace.was_discarded))

    def why_view(self, request: HttpRequest) -> HttpResponse:
        form = WhyForm(request.GET or None)
        reasons = find_reasons(**form.cleaned_data) if form.is_valid() else None
        return self._page(request, "why", {"form": form, "reasons": reasons, "title": "Why was I given this?"})

    def _page(
        self, request: HttpRequest, name: str, context: dict[str, Any], *, refreshes: bool = False
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        # The operations pages' navigation and refreshing, where there are any.
        base = "operations" if apps.is_installed("event_stream.operations") else "trace"
        everything = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "refreshes": refreshes,
            "base_template": f"admin/event_stream_{base}/base.html",
            "key_name": trace_settings().key_name,
            **context,
        }
        return TemplateResponse(request, f"admin/event_stream_trace/{name}.html", everything)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Trace | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Trace | None = None) -> bool:
        return False


def _timelines(trace: Timeline) -> dict[str, Any]:
    """All messages of a small change; of a larger one, those that stand out."""
    if trace.total <= ONE_BY_ONE:
        return {"drawn": _drawn(trace.lines), "are_open": trace.total < _OPEN_BELOW}
    return {"slowest": _drawn(trace.slowest), "unapplied": _drawn(trace.unapplied)}


def _drawn(lines: Any) -> list[Drawn]:
    return [Drawn(line, drawing.bars(line)) for line in lines]
