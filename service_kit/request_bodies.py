"""Refuses what a request's body says and nobody would read: members without a field, names that come twice, and
numbers in place of texts.

A misspelled member of a PUT would otherwise empty the field that was meant, and of two equal names the last would win.
"""

import itertools
from collections.abc import Mapping
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.fields import empty

from service_kit.text import normalized

_OF_FORMS = frozenset({"csrfmiddlewaretoken"})
"""What a form of the browsable API sends beside the fields."""

_NAME_LENGTH = 80
_NAMES_LISTED = 20


class DuplicateMemberError(ValueError):
    """A JSON object has two members of the same name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r:.80} comes twice")
        self.name = name


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The `object_pairs_hook` of json.loads that raises DuplicateMemberError."""
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise DuplicateMemberError(name)
        members[name] = value
    return members


def shown(name: object) -> str:
    """A member's name for an answer: short, and without the lone surrogates that no UTF-8 can hold."""
    return str(name)[:_NAME_LENGTH].encode(errors="backslashreplace").decode()


class KnownMembersOnly(serializers.Serializer[Any]):
    """Mix-in of every serializer that reads a body. Read-only fields are known: a body may be what a GET answered."""

    def to_internal_value(self, data: Any) -> Any:
        errors: dict[str, Any] = {}
        if isinstance(data, Mapping):
            known = self.fields.keys() | (_OF_FORMS if isinstance(data, QueryDict) else frozenset())
            message = _("There is no such field. The fields are: %(fields)s.") % {"fields": ", ".join(self.fields)}
            unknown = (name for name in data if name not in known)
            errors = {shown(name): [message] for name in itertools.islice(unknown, _NAMES_LISTED)}
        try:
            fields = super().to_internal_value(data)
        except serializers.ValidationError as invalid:
            if errors and isinstance(invalid.detail, dict):
                raise serializers.ValidationError({**invalid.detail, **errors}) from None
            raise
        if errors:
            raise serializers.ValidationError(errors)
        return fields


class _Text:
    """Mix-in of a field of text: it takes strings alone, and normalizes them before it checks them.

    DRF makes a text of a number: `1e400` would be stored as "inf".
    """

    def run_validation(self, data: Any = empty) -> Any:
        return super().run_validation(normalized(data) if isinstance(data, str) else data)  # type: ignore[misc]

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid")  # type: ignore[attr-defined]
        return super().to_internal_value(data)  # type: ignore[misc]


class TextField(_Text, serializers.CharField):
    """The field of every text in a body."""


class EmailField(_Text, serializers.EmailField):
    """The field of every e-mail address in a body."""
