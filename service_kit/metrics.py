"""`/metrics` for Prometheus, and the middleware that measures requests. Needs the app `event_stream.metrics`.

    path("", include("service_kit.metrics"))

Like the health checks, the page is for the platform's own network: the gateway does not pass it on. It tells no
secret and nothing of a person.
"""

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from event_stream.metrics.exposition import exposition
from event_stream.metrics.names import HTTP_REQUEST_SECONDS, child

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE = "(none)"
"""Of a request that no URL matched, or that was answered before one was looked for."""


class MetricsMiddleware:
    """Measures each request. List it first, so that it measures what the others do as well."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began_s = time.perf_counter()
        response = self._get_response(request)
        match = request.resolver_match
        # Callers choose paths and methods: neither may make a new series.
        route = NO_ROUTE if match is None else f"/{match.route}"
        method = request.method if request.method in _METHODS else "other"
        seconds = time.perf_counter() - began_s
        child(HTTP_REQUEST_SECONDS, method, route, str(response.status_code)).observe(seconds)
        return response


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse(exposition(), content_type=CONTENT_TYPE_LATEST)


urlpatterns = [path("metrics", metrics, name="metrics")]
