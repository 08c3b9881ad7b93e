"""Parts of URLs that both services have."""

from typing import Any
from uuid import UUID

from django.urls import register_converter


class AnyCaseUUID:
    """A UUID in either case; Django's own converter takes lower case only, where RFC 9562 has readers take both."""

    regex = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

    def to_python(self, value: str) -> UUID:
        return UUID(value)

    def to_url(self, value: UUID | str) -> str:
        return str(value)


def one_form_of_each_url(endpoints: list[tuple[str, str, str, Any]], **_: Any) -> list[tuple[str, str, str, Any]]:
    """A hook of drf-spectacular: the document has each URL once, without the slash that it may end with."""
    return [endpoint for endpoint in endpoints if not endpoint[0].endswith("/")]


def register() -> None:
    """Make `<any_case_uuid:…>` known to `django.urls.path`."""
    register_converter(AnyCaseUUID, "any_case_uuid")
