"""The pages: each has a name in the URL, a template, what it shows and what may be done on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin
from django.http import HttpRequest

VIEW, OPERATE = "event_stream_operations.view_operations", "event_stream_operations.operate"


class ActionError(Exception):
    """An action can't be done; the text says why, to a person."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, in a sentence, and the query of the page to go on with."""

    text: str
    query: Mapping[str, str]


class Page(Protocol):
    """One of the operations pages. `slug` is its part of the URL."""

    slug: str
    title: str
    refreshes: bool
    """Whether it fetches itself again every few seconds."""
    permission: str
    """What a person needs for its actions."""

    def is_available(self) -> bool:
        """Whether this service has what the page is about."""

    def context(self, request: HttpRequest) -> Mapping[str, Any]:
        """Return what its template shows."""

    def act(self, request: HttpRequest) -> str | Done:
        """Do what the form asks for; return what was done, in a sentence. Raises ActionError."""


_ORDER = ("overview", "workers", "outbox", "dead-letters", "cache", "consistency", "doctor")
_pages: dict[str, Page] = {}


def register(page: Page) -> None:
    """Add a page; one of the same slug is replaced. Those that are not of this package come last."""
    _pages[page.slug] = page


def registered_pages() -> list[Page]:
    return list(_pages.values())


def url_name(page: Page) -> str:
    """The name of its URL in the admin."""
    return f"event_stream_operations_{page.slug}"


def available_pages() -> list[Page]:
    def place(page: Page) -> int:
        return _ORDER.index(page.slug) if page.slug in _ORDER else len(_ORDER)

    return sorted((page for page in _pages.values() if page.is_available()), key=place)


def whole_number(text: str) -> int | None:
    """Read a number of a form or a URL, as the database can hold it; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def may(user: AbstractBaseUser | AnonymousUser, permission: str) -> bool:
    return isinstance(user, PermissionsMixin | AnonymousUser) and user.has_perm(permission)
