"""Django's list of a model, over letters that were read into memory instead of rows."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest

from event_stream.dead_letters.models import DeadLetter, State

_TITLES = {State.OPEN: "open", State.AWAITED: "replayed, not handled yet", State.SETTLED: "replayed or discarded"}


class Letters(list[DeadLetter]):
    """As much of a QuerySet as the admin asks of one."""

    def filter(self, *, pk__in: Iterable[str]) -> "Letters":
        wanted = set(pk__in)
        return Letters(each for each in self if each.pk in wanted)

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
        return Letters(each for each in queryset if each.state == self.state)


class LetterChangeList(ChangeList):
    """Filters and searches in memory; an unknown parameter filters nothing."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> Any:
        self.filter_specs, self.has_filters, _, _, self.has_active_filters = self.get_filters(request)
        found: Any = self.root_queryset
        for spec in self.filter_specs:
            found = spec.queryset(request, found)
        self.clear_all_filters_qs = self.get_query_string(remove=self.get_filters_params())
        return Letters(each for each in found if each.has(self.query))
