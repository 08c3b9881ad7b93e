"""Text as people write it: in one form (NFC), and blank if nothing of it can be seen.

`é` may be one character or two that look the same, so that neither is found by the other; U+200B alone looks like
nothing and is no name.
"""

import functools
import operator
import unicodedata
from typing import Any

from django.db import models

_LONGEST = 10_000
"""No field takes a longer text. Normalizing takes a time that grows with the square of the marks in a row."""

# Letters, marks and symbols that show nothing: fillers, joiners, variation selectors, the blank of Braille.
_INVISIBLE = frozenset(
    map(
        chr,
        (
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
            *range(0x180B, 0x1810),
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ),
    )
)


def normalized(text: str) -> str:
    """Return the text in NFC, or an empty one if it has invisible characters alone."""
    if text.isascii() or len(text) > _LONGEST:
        return text
    return "" if all(map(_is_invisible, text)) else unicodedata.normalize("NFC", text)


def spellings(text: str) -> tuple[str, ...]:
    """Return the forms to search for: rows written in SQL, or before texts were normalized, may be in NFD."""
    if text.isascii() or len(text) > _LONGEST:
        return (text,)
    return tuple(dict.fromkeys(unicodedata.normalize(form, text) for form in ("NFC", "NFD")))


def normalize_fields(instance: models.Model) -> None:
    """Normalize the texts of a model instance; for `clean_fields`, which forms and imports call."""
    for field in instance._meta.concrete_fields:
        value = getattr(instance, field.attname)
        if isinstance(field, models.CharField | models.TextField) and isinstance(value, str):
            setattr(instance, field.attname, normalized(value))


class NormalizedSearch:
    """Mix-in of a ModelAdmin: its search finds a text in each form. List it first."""

    def get_search_results(self, request: Any, queryset: Any, search_term: str) -> tuple[Any, bool]:
        search: Any = super().get_search_results  # type: ignore[misc]
        results = [search(request, queryset, spelling) for spelling in spellings(normalized(search_term))]
        return functools.reduce(operator.or_, (found for found, _ in results)), any(many for _, many in results)


def _is_invisible(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) == "Cf" or character in _INVISIBLE
