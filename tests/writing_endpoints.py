"""Every endpoint of a service that reads a body: from Django's own list, so that the next one is in it too."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.urls import get_resolver
from django.urls.resolvers import URLPattern, URLResolver

WRITING = ("post", "put", "patch")


def writing_endpoints() -> list[tuple[str, str]]:
    """The route and the method of each endpoint of the API that takes a body."""
    found = list(_walk(get_resolver().url_patterns, ""))
    assert found, "no endpoint was found"
    return found


def _walk(patterns: Iterable[URLPattern | URLResolver], before: str) -> Iterator[tuple[str, str]]:
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, route)
            continue
        view: Any = getattr(pattern.callback, "cls", None)
        if route.startswith("v1/"):
            yield from ((route, method) for method in WRITING if hasattr(view, method))
