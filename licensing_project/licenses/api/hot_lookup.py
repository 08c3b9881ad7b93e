"""The hot lookup: one license whose organization is fresh in the cache, as most callers ask for it.

It runs before the middleware that only other requests need, and past Django REST framework. Nothing is decided here:
the URL, the rules of access, the license, the organization and the answer come from where `SingleLicense` has them, and
the other headers of its answer from an answer that went the long way. A request that asks for anything special, and one
that is not simply answered with 200, goes the long way from its beginning.
"""

from collections.abc import Callable
from typing import cast

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import DisallowedHost, MiddlewareNotUsed
from django.http import HttpRequest, HttpResponseBase
from django.urls import ResolverMatch, URLPattern
from rest_framework.request import Request

from event_stream.fenced_cache import CacheStatus
from event_stream.otel import traces_are_wanted
from licenses import selectors
from licenses.api import responses
from licenses.api.urls import urlpatterns
from licenses.api.views import SingleLicense
from organization_lookup import lookup
from service_kit.problem_details import Problem

# What a request can ask for beyond its URL, by WSGI's names. The long way knows what it means.
_SPECIAL = (
    "HTTP_ACCEPT_LANGUAGE",
    "HTTP_CACHE_CONTROL",
    "HTTP_IF_MATCH",
    "HTTP_IF_NONE_MATCH",
    "HTTP_ORGANIZATION_MIN_VERSION",
    "HTTP_TRANSFER_ENCODING",
    "CONTENT_TYPE",
)
_ACCEPTED = frozenset({"*/*", "application/json"})


class HotLookupMiddleware:
    """Answers a hot lookup. List it after UserContextMiddleware and before everything that depends on the request.

    It is not used where OpenTelemetry traces requests, whose spans follow the long way.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        if traces_are_wanted():
            raise MiddlewareNotUsed
        self._get_response = get_response
        self._routes: list[URLPattern] = [route for route in urlpatterns if route.name == "license"]
        view = SingleLicense()
        self._authenticators = view.get_authenticators()
        self._permissions = view.get_permissions()
        self._view = view
        self._common_headers: dict[str | None, dict[str, str]] = {}
        """What the long way adds to each answer, by the scheme of the request."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        match = self._plain(request)
        if match is None:
            return self._get_response(request)
        common = self._common_headers.get(request.scheme)
        if common is None:
            return self._learn(request)
        return self._answer(request, match, common) or self._get_response(request)

    def _plain(self, request: HttpRequest) -> ResolverMatch | None:
        """The match of a request that asks for a license and nothing special."""
        meta = request.META
        if request.method != "GET" or meta.get("QUERY_STRING") or meta.get("HTTP_COOKIE"):
            return None
        if meta.get("HTTP_ACCEPT", "*/*") not in _ACCEPTED:
            return None
        for name in _SPECIAL:
            if name in meta:
                return None
        for route in self._routes:
            match = route.resolve(request.path_info[1:])
            if match is not None:
                return match
        return None

    def _learn(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        headers = dict(response.headers)
        is_hot = headers.get("Organization-Cache") == CacheStatus.HIT.value and "Organization-Absent" not in headers
        if response.status_code == 200 and is_hot and not response.cookies:
            self._common_headers[request.scheme] = headers
        return response

    def _answer(self, request: HttpRequest, match: ResolverMatch, common: dict[str, str]) -> HttpResponseBase | None:
        try:
            request.get_host()
            # Authentication and permissions read what Django's own request has as well.
            if not self._is_allowed(cast("Request", request)):
                return None
        except (DisallowedHost, Problem):
            return None
        organization_id, license_id = match.kwargs["organization_id"], match.kwargs["license_id"]
        found = lookup.current().find_cached(str(organization_id))
        if found is None or found.value is None:
            return None
        row = selectors.read_license(organization_id=organization_id, license_id=license_id)
        if row is None:
            return None
        response = responses.json_license(row, found)
        own = response.headers
        for name, value in common.items():
            if name not in own:
                own[name] = value
        request.resolver_match = match
        return response

    def _is_allowed(self, request: Request) -> bool:
        """As the view decides it; False also stands for a refusal. Raises Problem."""
        for authenticator in self._authenticators:
            authenticated = authenticator.authenticate(request)
            if authenticated is not None:
                request.user = authenticated[0]
                break
        else:
            request.user = AnonymousUser()
        return all(permission.has_permission(request, self._view) for permission in self._permissions)
