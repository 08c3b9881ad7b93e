"""Errors as RFC 9457 problem details, `application/problem+json`, whoever noticed them: a view, DRF or Django.

    {"type": "/problems/validation", "title": "Not valid", "status": 400, "detail": "…", "instance": "/v1/…",
     "correlationId": "…", "errors": [{"field": "contactEmail", "message": "…"}]}

Services raise Problem, or whatever Django and DRF raise anyway. In the settings, REST_FRAMEWORK["EXCEPTION_HANDLER"]
names `service_kit.problem_details.exception_handler`; in the root urlconf, handler400, 403, 404 and 500 name
`bad_request`, `forbidden`, `not_found` and `server_error` of this module. A browser, which asks for text/html, gets a
page.
"""

import json
import logging
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.contrib.sessions.backends.base import UpdateError as SessionUpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core import exceptions as core
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from django.utils.encoding import escape_uri_path
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions as drf
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.utils.serializer_helpers import ReturnDict

from event_stream import user_context
from event_stream.database_faults import DatabaseFault, database_fault
from event_stream.errors import UnavailableError
from service_kit.database import report_fault

# The problem itself: what an error answer says.

MEDIA_TYPE = "application/problem+json"

Text = str | Promise

KINDS: Mapping[int, tuple[str, Text]] = {
    400: ("bad-request", _("Bad request")),
    401: ("unauthenticated", _("Not authenticated")),
    403: ("forbidden", _("Forbidden")),
    404: ("not-found", _("Not found")),
    405: ("method-not-allowed", _("Method not allowed")),
    406: ("not-acceptable", _("Not acceptable")),
    408: ("timeout", _("Request timeout")),
    409: ("conflict", _("Conflict")),
    411: ("length-required", _("Length required")),
    412: ("precondition-failed", _("Precondition failed")),
    413: ("content-too-large", _("Content too large")),
    415: ("unsupported-media-type", _("Unsupported media type")),
    428: ("precondition-required", _("Precondition required")),
    429: ("too-many-requests", _("Too many requests")),
    500: ("internal", _("Internal error")),
    501: ("not-implemented", _("Not implemented")),
    503: ("unavailable", _("Unavailable for now")),
}
"""The last segment of a problem's type, and its title, by status."""


class Problem(APIException):
    """An error answer, said in full. What is left out follows from the status.

    `type` is a URI reference; `extra` adds members to the body; `errors` are (field, message) pairs, where the field
    is the path to it as sent, "contacts.0.email", and "" is the body as a whole.
    """

    def __init__(
        self,
        status: int,
        *,
        detail: Text | None = None,
        title: Text | None = None,
        type: str | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        errors: Sequence[tuple[str, str]] = (),
    ) -> None:
        slug, usual_title = KINDS.get(status) or ("", HTTPStatus(status).phrase)
        super().__init__(detail=str(detail or title or usual_title), code=slug or "error")
        self.status_code = status
        self.type = type or (f"/problems/{slug}" if slug else "about:blank")
        self.title = title or usual_title
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})
        self.errors = tuple(errors)

    def body(self, path: str) -> dict[str, Any]:
        """The members of the answer; `path` is what was asked for."""
        body = {
            "type": self.type,
            "title": str(self.title),
            "status": self.status_code,
            "detail": str(self.detail),
            "instance": escape_uri_path(path),
            "correlationId": user_context.current_or_new().correlation_id,
            **self.extra,
        }
        if self.errors:
            body["errors"] = [{"field": field, "message": message} for field, message in self.errors]
        return body


def unavailable(detail: Text, *, retry_after_s: float, type: str | None = None) -> Problem:
    """503: the same request may well be answered later. `type` names the cause, if the caller knows it."""
    return Problem(503, detail=detail, type=type, headers={"Retry-After": str(max(1, math.ceil(retry_after_s)))})


def unreadable_body(cause: BaseException | None) -> Problem:
    """408 for a body that did not arrive in time (`cause` is a TimeoutError, or has one), or 400."""
    while isinstance(cause, UnreadablePostError):
        cause = cause.__cause__
    if isinstance(cause, TimeoutError):
        return Problem(408, detail=_("The request did not arrive in time."))
    return Problem(400, detail=_UNREADABLE)


# From an exception to the problem it means for the caller.

RETRY_AFTER_S = 5
_RETRY_AFTER_A_LOCK_S = 1
_UNREADABLE = _("The request can't be read.")
_SERVER_AWAY = _("A server that is needed is away. Try again.")


def problem_of(exc: BaseException | None) -> Problem | None:
    """The problem, or None for an exception that nobody foresaw: a 500, to be logged with its traceback."""
    if fault := _fault_of(exc):
        return _of_fault(fault)
    return next((translate(exc) for kinds, translate in _TRANSLATIONS if isinstance(exc, kinds)), None)


def _fault_of(exc: BaseException | None) -> DatabaseFault | None:
    # A session that can't be written is said to have been deleted, whatever the database said.
    while isinstance(exc, SessionInterrupted | SessionUpdateError):
        exc = exc.__context__
    return database_fault(exc)


def _of_fault(fault: DatabaseFault) -> Problem:
    match fault:
        case DatabaseFault.READ_ONLY:
            return unavailable(
                _("The database takes no changes for now; what is stored can be read. Try again."),
                retry_after_s=RETRY_AFTER_S,
                type="/problems/read-only",
            )
        case DatabaseFault.LOCK_TIMEOUT | DatabaseFault.CONFLICT:
            return unavailable(
                _("Another transaction is changing the same thing. Nothing was changed here. Try again."),
                retry_after_s=_RETRY_AFTER_A_LOCK_S,
                type="/problems/busy",
            )
        case DatabaseFault.STATEMENT_TIMEOUT:
            return unavailable(
                _("This takes the database longer than it may. Nothing was changed. Ask for less, or try again."),
                retry_after_s=RETRY_AFTER_S,
                type="/problems/busy",
            )
        case _:
            return unavailable(_SERVER_AWAY, retry_after_s=RETRY_AFTER_S)


def _of_api_exception(exc: drf.APIException) -> Problem:
    headers = {}
    if auth_header := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    if wait_s := getattr(exc, "wait", None):
        headers["Retry-After"] = str(math.ceil(wait_s))
    malformed = isinstance(exc, drf.ParseError)
    return Problem(
        exc.status_code,
        detail=str(exc.detail),
        type="/problems/malformed" if malformed else None,
        title=_("Malformed request") if malformed else None,
        headers=headers,
    )


def _invalid(detail: Any) -> Problem:
    return Problem(
        400,
        type="/problems/validation",
        title=_("Not valid"),
        detail=_("Some values are not valid: see errors."),
        errors=list(_flatten("", detail)),
    )


def _flatten(path: str, detail: Any) -> Iterator[tuple[str, str]]:
    """DRF's nested errors as (path, message) pairs: {"a": [{}, {"b": ["no"]}]} gives ("a.1.b", "no")."""
    match detail:
        case dict():
            for name, inner in detail.items():
                whole = name in (api_settings.NON_FIELD_ERRORS_KEY, core.NON_FIELD_ERRORS)
                yield from _flatten(path if whole else _join(path, name), inner)
        case list() | tuple():
            for index, inner in enumerate(detail):
                # A list of texts is several messages about one thing; a list of mappings is one mapping an item.
                yield from _flatten(_join(path, index) if isinstance(inner, dict | list) else path, inner)
        case _:
            yield path, str(detail)


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


_TRANSLATIONS: tuple[tuple[tuple[type[BaseException], ...], Callable[[Any], Problem]], ...] = (
    ((Problem,), lambda exc: exc),
    ((drf.ValidationError,), lambda exc: _invalid(exc.detail)),
    ((core.ValidationError,), lambda exc: _invalid(exc.message_dict if hasattr(exc, "error_dict") else exc.messages)),
    ((drf.APIException,), _of_api_exception),
    ((Http404,), lambda _exc: _of_api_exception(drf.NotFound())),
    ((core.PermissionDenied,), lambda exc: _of_api_exception(drf.PermissionDenied(*exc.args))),
    (
        (core.RequestDataTooBig, core.TooManyFieldsSent, core.TooManyFilesSent),
        lambda _exc: Problem(413, detail=_("The request is larger than this service accepts.")),
    ),
    (
        # Their texts speak of our settings, or of bytes: they are for the log.
        (core.SuspiciousOperation, core.BadRequest, MultiPartParserError, UnicodeDecodeError),
        lambda _exc: Problem(400, detail=_UNREADABLE),
    ),
    (
        (UnreadablePostError,),
        unreadable_body,
    ),
    (
        (DataError,),
        lambda _exc: Problem(400, detail=_("The request holds a value that can't be stored.")),
    ),
    (
        (OperationalError, InterfaceError, UnavailableError),
        lambda _exc: unavailable(_SERVER_AWAY, retry_after_s=RETRY_AFTER_S),
    ),
)
"""The first whose kinds fit speaks."""


# From a problem to the response: DRF's exception handler, and Django's error views.

logger = logging.getLogger("service_kit")

_MEANT = (APIException, Http404, core.PermissionDenied, core.ValidationError)
"""Raised to be an answer; whatever else has one came as a surprise."""


def _report(exc: BaseException, problem: Problem) -> None:
    """A database's refusal, say: the caller gets an answer in general terms, and the log what it was about.

    An outage of the database is one line, and nothing of the server's needs a traceback with every request.
    """
    fault = _fault_of(exc)
    if fault is not None and fault.is_outage:
        report_fault(fault, exc)
    else:
        # A client that is away, or too slow, is nobody's mistake.
        is_ours = problem.status_code < 500 and not isinstance(exc, UnreadablePostError)
        logger.warning("request.refused", extra={"error": repr(exc)}, exc_info=exc if is_ours else None)


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
        _report(exc, problem)
    # rest_framework.views imports the authentication and permission classes of the settings, and ours raise problems.
    from rest_framework.views import set_rollback  # noqa: PLC0415

    set_rollback()
    request: Request = context["request"]
    body = problem.body(request.path)
    renderer = getattr(request, "accepted_renderer", None)
    # A page such as the documentation has no other renderer, whatever is asked for.
    if renderer is not None and renderer.media_type == "text/html" and _wants_page(request):
        # The browsable API shows a form's errors in the form, and looks for the form here.
        if isinstance(exc, ValidationError) and isinstance(exc.detail, ReturnDict):
            body = ReturnDict(body, serializer=exc.detail.serializer)
    else:
        request.accepted_renderer = ProblemRenderer()
        request.accepted_media_type = MEDIA_TYPE
    return Response(body, status=problem.status_code, headers=_headers(problem))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """For handler400."""
    if _fault_of(exception):
        return _unavailable_page(request, exception)
    return answer(request, problem_of(exception) or Problem(400))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """For handler403."""
    return answer(request, problem_of(exception) or Problem(403))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """For CSRF_FAILURE_VIEW."""
    problem = Problem(403, detail=_("The form has no valid token against request forgery: open its page again."))
    return answer(request, problem)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """For handler404."""
    return answer(request, problem_of(exception) or Problem(404))


def server_error(request: HttpRequest) -> HttpResponse:
    """For an exception outside of DRF too: a database that is away is a 503, also when the session notices it."""
    exception = sys.exception()
    if exception is not None and _fault_of(exception):
        return _unavailable_page(request, exception)
    return answer(request, problem_of(exception) or Problem(500))


def _unavailable_page(request: HttpRequest, exception: BaseException) -> HttpResponse:
    problem = problem_of(exception) or Problem(503)
    _report(exception, problem)
    return answer(request, problem)


def answer(request: HttpRequest, problem: Problem, page: Callable[[], HttpResponse] | None = None) -> HttpResponse:
    """The problem as JSON, or for a browser as a page that says the same; `page` makes another one."""
    if _wants_page(request):
        response = page() if page else _page(problem)
        response.status_code = problem.status_code
        for name, value in _headers(problem).items():
            response.headers[name] = value
    else:
        response = as_json(request, problem)
    patch_vary_headers(response, ["Accept"])
    return response


def _wants_page(request: HttpRequest | Request) -> bool:
    return request.get_preferred_type([MEDIA_TYPE, "application/json", "text/html"]) == "text/html"


def _page(problem: Problem) -> HttpResponse:
    # Without the request: what asks the database for the user may be what has failed.
    context = {"title": problem.title, "detail": problem.detail}
    return HttpResponse(render_to_string("service_kit/problem.html", context))


def as_json(request: HttpRequest, problem: Problem) -> HttpResponse:
    """The problem, whatever the request accepts."""
    body = json.dumps(problem.body(request.path))
    return HttpResponse(body, content_type=MEDIA_TYPE, status=problem.status_code, headers=_headers(problem))


def _headers(problem: Problem) -> dict[str, str]:
    """A cache may keep a 404 on its own judgement; an error is not to outlive its cause."""
    return {"Cache-Control": "no-store", **problem.headers}
