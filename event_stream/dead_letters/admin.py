"""Django's list of a model, over letters that were read into memory instead of rows."""

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin import ShowFacets, SimpleListFilter, helpers
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from event_stream.admin_links import trace_link
from event_stream.admin_selection import AdminSelection
from event_stream.conf import Binding
from event_stream.dead_letters import dead_letter_channel
from event_stream.dead_letters.log import Selection, as_dict, dead_letter_log, shown_origin, shown_time, whole_letters
from event_stream.dead_letters.models import DeadLetter, State, letters_in, parking_bindings
from event_stream.dead_letters.replay import ReplayService
from event_stream.errors import UnavailableError
from event_stream.messaging.channel import Channel, registry
from event_stream.messaging.headers import decode
from event_stream.user_context import CORRELATION_ID

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[DeadLetter]
else:
    ModelAdmin = admin.ModelAdmin


_TITLES = {State.OPEN: "open", State.AWAITED: "replayed, not handled yet", State.SETTLED: "replayed or discarded"}


class Letters(list[DeadLetter]):
    """As much of a QuerySet as the admin asks of one."""

    def filter(self, *, pk__in: Iterable[str]) -> "Letters":
        wanted = set(pk__in)
        return Letters(letter for letter in self if letter.pk in wanted)

    def _clone(self) -> "Letters":
        return self


class StateFilter(SimpleListFilter):
    """Whoever asks for none gets the open ones."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, _TITLES[state]) for state in State]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        for state, title in self.lookup_choices:
            query = changelist.get_query_string({self.parameter_name: state})
            yield {"selected": state == self.state, "query_string": query, "display": title}

    @property
    def state(self) -> str:
        return self.value() or State.OPEN

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return Letters(letter for letter in queryset if letter.state == self.state)


class LetterChangeList(ChangeList):
    """Filters and searches in memory; an unknown parameter filters nothing."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> Any:
        self.filter_specs, self.has_filters, _, _, self.has_active_filters = self.get_filters(request)
        found: Any = self.root_queryset
        for spec in self.filter_specs:
            found = spec.queryset(request, found)
        self.clear_all_filters_qs = self.get_query_string(remove=self.get_filters_params())
        return Letters(letter for letter in found if letter.has(self.query))


_CLOSE_TIMEOUT_S = 2.0
_PROBLEMS_SHOWN = 10
_LETTERS_SHOWN = 20
_THROUGH = "parked_through_ms"
_KEY_LENGTH, _TITLE_LENGTH, _BLOCK_LENGTH = 60, 1_000, 20_000
"""The longest texts, in characters: a column of the list, its tooltip, a field of the page of one letter."""
_DONE = {"replay": "replayed", "discard": "discarded"}


@admin.register(DeadLetter)
class DeadLetterAdmin(ModelAdmin):
    """Lists, shows, replays and discards dead letters, with the code of the command."""

    list_display = ["__str__", "parked", "short_key", "problem"]
    list_filter = [StateFilter]
    search_fields = ["pk_text"]
    search_help_text = "Words of the error, the key or the id"
    sortable_by = ()
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    actions = ["replay", "discard"]
    readonly_fields = fields = (
        "id",
        "state",
        "origin",
        "group",
        "key",
        "sent_at",
        "parked_at",
        "attempts",
        "error",
        "reason",
        "trace",
        "headers",
        "body",
        "traceback",
    )
    change_form_template = "admin/event_stream_dead_letters/deadletter/change_form.html"

    # What there is. The platform may be away: then the page says so.

    def get_queryset(self, request: HttpRequest) -> Any:
        found = Letters()
        for binding in parking_bindings():
            channel = dead_letter_channel(binding)
            try:
                found.extend(letters_in(binding, dead_letter_log(channel.read())))
            except UnavailableError as error:
                self._say_unreadable(request, channel, error)
        return found

    def _say_unreadable(self, request: HttpRequest, channel: Channel, error: UnavailableError) -> None:
        text = f"The topic {channel.binding.destination} can't be read: {error}. Is it there, and the broker?"
        self.message_user(request, text, messages.ERROR)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> DeadLetter | None:
        letter: DeadLetter | None = next((row for row in self.get_queryset(request) if row.pk == object_id), None)
        for binding in parking_bindings() if letter else ():
            if letter and binding.name == letter.binding:
                channel = dead_letter_channel(binding)
                try:
                    [(_, letter.whole)] = whole_letters(channel.read, [letter.open_letter])
                except UnavailableError as error:
                    self._say_unreadable(request, channel, error)
        return letter

    def get_urls(self) -> list[URLPattern]:
        body = self.admin_site.admin_view(self.body_view)
        return [path("<path:object_id>/body/", body, name="event_stream_dead_letters_body"), *super().get_urls()]

    def body_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The whole body, as a file."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        letter = self.get_object(request, unquote(object_id))
        if letter is None or letter.whole is None or letter.whole.value is None:
            raise Http404
        return HttpResponse(
            letter.whole.value,
            content_type="application/octet-stream",
            headers={"Content-Disposition": f'attachment; filename="dead-letter-{letter}.bin"'},
        )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[LetterChangeList]:
        return LetterChangeList

    # What may be done.

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: DeadLetter | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: DeadLetter | None = None) -> bool:
        return False

    def has_settle_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("event_stream_dead_letters.settle_deadletter")

    @admin.action(description="Replay selected dead letters", permissions=["settle"])
    def replay(self, request: HttpRequest, letters: Letters) -> HttpResponse | None:
        return self._confirmed(request, letters, "replay")

    @admin.action(description="Discard selected dead letters", permissions=["settle"])
    def discard(self, request: HttpRequest, letters: Letters) -> HttpResponse | None:
        return self._confirmed(request, letters, "discard")

    def _confirmed(self, request: HttpRequest, letters: Letters, verb: str) -> HttpResponse | None:
        selection = AdminSelection.of(request)
        confirmed = "confirmed" in request.POST
        through = request.POST.get(_THROUGH, "")
        if confirmed and selection.is_all and through.isdecimal():
            # Letters go on being parked during an outage: those that the page did not show are left.
            letters = Letters(letter for letter in letters if letter.open_letter.letter.parked_at_ms <= int(through))
        # Fewer are no surprise: somebody else has dealt with the others, which `_settle` finds out about ticked ones.
        if confirmed and (not selection.is_all or len(letters) <= (selection.shown or 0)):
            for binding in parking_bindings():
                of_binding = [letter for letter in letters if letter.binding == binding.name]
                if of_binding:
                    self._settle(request, binding, of_binding, verb)
            return None
        if confirmed:
            self.message_user(request, "Nothing was done: there are more of them by now.", messages.WARNING)
        newest_ms = max((letter.open_letter.letter.parked_at_ms for letter in letters), default=0)
        context = {
            **self.admin_site.each_context(request),
            "title": f"{verb.capitalize()} {len(letters)} dead letter{'' if len(letters) == 1 else 's'}?",
            "opts": self.opts,
            "letters": letters[:_LETTERS_SHOWN],
            "more": max(0, len(letters) - _LETTERS_SHOWN),
            "verb": verb,
            "hidden_fields": [*selection.fields(len(letters)), (_THROUGH, str(newest_ms))],
        }
        return TemplateResponse(request, "admin/event_stream_dead_letters/deadletter/confirm.html", context)

    def _settle(self, request: HttpRequest, binding: Binding, letters: list[DeadLetter], verb: str) -> None:
        # Channels of their own: a web process keeps no connection for what is done once in a while.
        source, parked = Channel(binding, registry().binder(binding.binder)), dead_letter_channel(binding)
        by_origin = {letter.open_letter.letter.origin: letter for letter in letters}
        done, problems = 0, []
        try:
            still_open = dead_letter_log(parked.read()).letters
            chosen = Selection(ids=frozenset(map(str, by_origin))).of(still_open)
            settling = ReplayService(source, parked)
            outcomes = settling.replay(chosen, still_open) if verb == "replay" else settling.discard(chosen)
            for outcome in outcomes:
                letter = by_origin[outcome.open_letter.letter.origin]
                if outcome.problem is None:
                    done += 1
                    self.log_change(request, letter, f"{_DONE[verb].capitalize()}.")
                else:
                    problems.append(f"{letter} is left: {outcome.problem}")
            if gone := len(letters) - len(chosen):
                problems.append(f"{gone} had been dealt with already")
        except UnavailableError as error:
            problems.append(f"The platform does not answer, and the rest is left: {error}")
        finally:
            source.close(_CLOSE_TIMEOUT_S)
            parked.close(_CLOSE_TIMEOUT_S)
        if done:
            self.message_user(
                request, f"{done} dead letter{' was' if done == 1 else 's were'} {_DONE[verb]}.", messages.SUCCESS
            )
        for problem in problems[:_PROBLEMS_SHOWN]:
            self.message_user(request, problem, messages.WARNING)
        if len(problems) > _PROBLEMS_SHOWN:
            self.message_user(request, f"… and {len(problems) - _PROBLEMS_SHOWN} more", messages.WARNING)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"may_settle": self.has_settle_permission(request), "checkbox_name": helpers.ACTION_CHECKBOX_NAME}
        return super().change_view(
            request, object_id, form_url, {**context, "open": State.OPEN, **(extra_context or {})}
        )

    # What is shown. A producer chooses key, headers and body: none of them stretches a page.

    @admin.display(description="key")
    def short_key(self, letter: DeadLetter) -> SafeString:
        return _shortened(letter.key, _KEY_LENGTH)

    @admin.display(description="error")
    def problem(self, letter: DeadLetter) -> str:
        summary = letter.open_letter.letter
        return f"{summary.error.rpartition('.')[2]:.100}: {summary.reason.partition(chr(10))[0]:.100}"

    @admin.display(description="parked at")
    def parked(self, letter: DeadLetter) -> str:
        return shown_time(letter.open_letter.letter.parked_at_ms)[:19].replace("T", " ")

    @admin.display(description="key")
    def key(self, letter: DeadLetter) -> SafeString:
        return _block(letter.key)

    @admin.display(description="error")
    def error(self, letter: DeadLetter) -> SafeString:
        return _block(letter.open_letter.letter.error)

    @admin.display(description="reason")
    def reason(self, letter: DeadLetter) -> SafeString:
        return _block(letter.open_letter.letter.reason)

    @admin.display(description="parked at")
    def parked_at(self, letter: DeadLetter) -> str:
        return shown_time(letter.open_letter.letter.parked_at_ms)

    @admin.display(description="sent at")
    def sent_at(self, letter: DeadLetter) -> str:
        return shown_time(letter.open_letter.letter.origin.timestamp_ms)

    @admin.display(description="attempts")
    def attempts(self, letter: DeadLetter) -> int:
        return letter.open_letter.letter.attempts

    @admin.display(description="id")
    def id(self, letter: DeadLetter) -> str:
        return str(letter)

    @admin.display(description="state")
    def state(self, letter: DeadLetter) -> str:
        return letter.state

    @admin.display(description="from")
    def origin(self, letter: DeadLetter) -> SafeString:
        return _block(shown_origin(letter.open_letter.letter))

    @admin.display(description="group")
    def group(self, letter: DeadLetter) -> SafeString:
        return _block(letter.open_letter.letter.group)

    @admin.display(description="trace")
    def trace(self, letter: DeadLetter) -> str:
        return trace_link(decode(letter.whole.headers).get(CORRELATION_ID, "")) if letter.whole else "-"

    @admin.display(description="headers")
    def headers(self, letter: DeadLetter) -> SafeString:
        headers = as_dict(letter.whole)["headers"] if letter.whole else None
        return _block(json.dumps(headers, indent=2, ensure_ascii=False))

    @admin.display(description="body")
    def body(self, letter: DeadLetter) -> SafeString:
        if letter.whole is None:
            return _block(None)
        block = _block(as_dict(letter.whole)["body"])
        if letter.whole.value is None:
            return block
        url = reverse("admin:event_stream_dead_letters_body", args=[quote(letter.pk)], current_app=self.admin_site.name)
        return format_html(
            '{}<p><a href="{}">Download the body</a> ({} bytes)</p>', block, url, len(letter.whole.value)
        )

    @admin.display(description="traceback")
    def traceback(self, letter: DeadLetter) -> SafeString:
        return _block(letter.whole.traceback if letter.whole else None)


def _shortened(text: str, length: int) -> SafeString:
    return format_html('<span title="{}">{}</span>', text[:_TITLE_LENGTH], Truncator(text).chars(length))


def _block(text: str | None) -> SafeString:
    style = "margin: 0; white-space: pre-wrap; overflow-wrap: anywhere"
    shown = text or "-"
    block = format_html('<pre style="{}">{}</pre>', style, shown[:_BLOCK_LENGTH])
    if len(shown) <= _BLOCK_LENGTH:
        return block
    return format_html("{}<p>The first {} of {} characters.</p>", block, f"{_BLOCK_LENGTH:,}", f"{len(shown):,}")
