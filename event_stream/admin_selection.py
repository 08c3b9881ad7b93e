"""The rows that a bulk action of the admin is about, from the list through the confirmation page.

With "select all" the page sends back the list's filter, which is in its URL, and how many rows it has shown: a field
for each row would exceed DATA_UPLOAD_MAX_NUMBER_FIELDS.
"""

from dataclasses import dataclass

from django import forms
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest

ALL, SHOWN = "select_across", "selected_count"


@dataclass(frozen=True, slots=True)
class AdminSelection:
    """`ids` are the rows that were ticked. With `is_all` it is every row of the filter, and `ids` are of one page."""

    ids: tuple[str, ...]
    is_all: bool
    shown: int | None
    """How many rows the confirmation page has shown; None for a request that comes from the list."""

    @classmethod
    def of(cls, request: HttpRequest) -> "AdminSelection":
        shown = request.POST.get(SHOWN, "")
        return cls(
            ids=tuple(request.POST.getlist(ACTION_CHECKBOX_NAME)),
            is_all=bool(forms.BooleanField(required=False).clean(request.POST.get(ALL))),
            shown=int(shown) if shown.isdecimal() and len(shown) < 19 else None,
        )

    def fields(self, count: int) -> list[tuple[str, str]]:
        """The hidden fields (name, value) of a confirmation page that shows `count` rows."""
        # Django requires one ticked row in any case.
        ids = self.ids[:1] if self.is_all else self.ids
        ticked = [(ACTION_CHECKBOX_NAME, id) for id in ids]
        return [*ticked, (ALL, "1"), (SHOWN, str(count))] if self.is_all else ticked

    def is_as_shown(self, count: int) -> bool:
        """Whether the filter still finds as many rows as were shown. Ticked rows always are the shown ones."""
        return not self.is_all or self.shown == count
