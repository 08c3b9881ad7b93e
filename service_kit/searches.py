"""Bounds of a text that is searched for: each of its words is a condition of the query.

Changelists of the admin have them by themselves: `service_kit` is in INSTALLED_APPS.
"""

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

MAX_LENGTH = 500
MAX_WORDS = 50


def validate_search(text: str) -> None:
    """Raises ValidationError for a text with too many characters or words."""
    if len(text) > MAX_LENGTH or len(text.split()) > MAX_WORDS:
        raise ValidationError(
            _("Search for %(words)d words at most, and %(length)d characters."),
            code="search_too_long",
            params={"words": MAX_WORDS, "length": MAX_LENGTH},
        )


def bound_changelists() -> None:
    """Let every changelist of the admin, Django's own included, refuse with a message what is too long."""
    # Once the applications are loaded: the admin has models.
    from django.contrib.admin.views.main import SEARCH_VAR, ChangeList, ChangeListSearchForm  # noqa: PLC0415

    class SearchForm(ChangeListSearchForm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.fields[SEARCH_VAR].validators.append(validate_search)

    ChangeList.search_form_class = SearchForm
