"""Callables for django-axes, which counts failed logins per client address and locks an address out for a while."""

from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _

from service_kit.problem_details import Problem, answer


def client_address(request: HttpRequest) -> str | None:
    """Return the client's address; None where it is unknown, as behind a Unix socket.

    `X-Forwarded-For` counts only if the request came from one of the setting GATEWAYS.
    """
    peer = _address(request.META.get("REMOTE_ADDR", ""))
    if peer is None or not any(peer in network for network in settings.GATEWAYS):
        return None if peer is None else str(peer)
    # The gateway sends one address; of several, the last is the one that it has added.
    forwarded = _address(request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip())
    return str(forwarded or peer)


def tried_name(request: HttpRequest, credentials: Mapping[str, str] | None) -> str | None:
    """Return the submitted user name, cut to the length of axes' column; a longer one would be an error."""
    name = (credentials or request.POST).get("username")
    return None if name is None else name[:255]


def locked_out(request: HttpRequest, _response: HttpResponse | None, _credentials: object) -> HttpResponse:
    """Return a 429 with Retry-After, as a page or as problem+json."""
    wait: timedelta = settings.AXES_COOLOFF_TIME
    problem = Problem(
        429,
        detail=_("Too many logins have failed from this address. Wait, then try again."),
        headers={"Retry-After": str(int(wait.total_seconds()))},
    )
    return answer(request, problem, lambda: TemplateResponse(request, "service_kit/locked_out.html").render())


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
