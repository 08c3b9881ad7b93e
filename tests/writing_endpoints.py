"""Every endpoint of a service that changes something: from Django's own list, so that the next one is in it too."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.urls import get_resolver
from django.urls.resolvers import URLPattern, URLResolver
from rest_framework.serializers import CharField

WRITING = ("post", "put", "patch")
CHANGING = (*WRITING, "delete")


def writing_endpoints(methods: tuple[str, ...] = WRITING) -> list[tuple[str, str]]:
    """The route and the method of each endpoint of the API that takes a body, or has one of these methods."""
    found = [(route, method) for route, view in api_views() for method in methods if hasattr(view, method)]
    assert found, "no endpoint was found"
    return found


def written_texts() -> list[tuple[str, str, str]]:
    """The same with the name of each field of text that the body may have."""
    found = [
        (route, method, name)
        for route, view in api_views()
        for method in WRITING
        if hasattr(view, method)
        for name, field in view.serializer_class().fields.items()
        if isinstance(field, CharField) and not field.read_only
    ]
    assert found, "no field was found"
    return found


def api_views() -> Iterator[tuple[str, Any]]:
    for route, callback in every_route():
        if route.startswith("v1/"):
            yield route, getattr(callback, "cls", None)


def every_route() -> Iterator[tuple[str, Any]]:
    """Each route of the service, and what it calls."""
    return _walk(get_resolver().url_patterns, "")


def _walk(patterns: Iterable[URLPattern | URLResolver], before: str) -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, route)
        else:
            yield route, pattern.callback
