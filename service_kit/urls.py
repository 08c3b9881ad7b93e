"""Helpers for URLs that both services use."""

from typing import Any
from uuid import UUID

from django.urls import register_converter

from service_kit.uuids import parse_uuid


class AnyCaseUUID:
    """A UUID in either case, as RFC 9562 requires of readers; Django's own converter accepts only lower case."""

    regex = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

    def to_python(self, value: str) -> UUID:
        return parse_uuid(value)

    def to_url(self, value: UUID | str) -> str:
        return str(value)


def one_form_of_each_url(endpoints: list[tuple[str, str, str, Any]], **_: Any) -> list[tuple[str, str, str, Any]]:
    """Preprocessing hook of drf-spectacular: list each URL once, without a trailing slash."""
    return [endpoint for endpoint in endpoints if not endpoint[0].endswith("/")]


def register() -> None:
    """Register `<any_case_uuid:…>` for `django.urls.path`."""
    register_converter(AnyCaseUUID, "any_case_uuid")
