"""From a problem to the response: DRF's exception handler, and Django's error views."""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

from django.core import exceptions as core
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django.views import defaults
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.serializer_helpers import ReturnDict

from event_stream.web.problem.details import MEDIA_TYPE, Problem
from event_stream.web.problem.translate import problem_of

logger = logging.getLogger("event_stream.web")

_MEANT = (APIException, Http404, core.PermissionDenied, core.ValidationError)
"""Raised to be an answer; whatever else has one came as a surprise."""


class ProblemRenderer(JSONRenderer):
    """JSON under the media type of problems. Set by `exception_handler`, never negotiated."""

    media_type = MEDIA_TYPE
    format = "problem"


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's hook. None for what nobody foresaw: Django then logs it, with its traceback, and calls `server_error`."""
    problem = problem_of(exc)
    if problem is None:
        return None
    if not isinstance(exc, _MEANT):
        # A database's refusal, say: the caller gets an answer in general terms, and the log what it was about. An
        # outage needs no traceback with every request.
        outage = problem.status_code >= 500
        logger.warning("request.refused", extra={"error": repr(exc)}, exc_info=None if outage else exc)
    # rest_framework.views imports the authentication and permission classes of the settings, and ours raise problems.
    from rest_framework.views import set_rollback  # noqa: PLC0415

    set_rollback()
    request: Request = context["request"]
    body = problem.body(request.path)
    renderer = getattr(request, "accepted_renderer", None)
    if renderer is not None and renderer.media_type == "text/html":
        # The browsable API shows a form's errors in the form, and looks for the form here.
        if isinstance(exc, ValidationError) and isinstance(exc.detail, ReturnDict):
            body = ReturnDict(body, serializer=exc.detail.serializer)
    else:
        request.accepted_renderer = ProblemRenderer()
        request.accepted_media_type = MEDIA_TYPE
    return Response(body, status=problem.status_code, headers=_headers(problem))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """For handler400."""
    return answer(request, problem_of(exception) or Problem(400), lambda: defaults.bad_request(request, exception))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """For handler403."""
    return answer(
        request, problem_of(exception) or Problem(403), lambda: defaults.permission_denied(request, exception)
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """For handler404."""
    return answer(request, problem_of(exception) or Problem(404), lambda: defaults.page_not_found(request, exception))


def server_error(request: HttpRequest) -> HttpResponse:
    """For an exception outside of DRF too: a database that is away is a 503, also when the session notices it."""
    return answer(request, problem_of(sys.exception()) or Problem(500), lambda: defaults.server_error(request))


def answer(request: HttpRequest, problem: Problem, page: Callable[[], HttpResponse]) -> HttpResponse:
    """The problem as JSON, or `page` under its status for a browser."""
    if request.get_preferred_type([MEDIA_TYPE, "application/json", "text/html"]) == "text/html":
        response = page()
        response.status_code = problem.status_code
    else:
        response = HttpResponse(
            json.dumps(problem.body(request.path)), content_type=MEDIA_TYPE, status=problem.status_code
        )
    for name, value in _headers(problem).items():
        response.headers[name] = value
    patch_vary_headers(response, ["Accept"])
    return response


def _headers(problem: Problem) -> dict[str, str]:
    """A cache may keep a 404 on its own judgement; an error is not to outlive its cause."""
    return {"Cache-Control": "no-store", **problem.headers}
