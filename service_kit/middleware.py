"""Middleware that sets the user context of a request, and refuses a request that can't be read."""

import io
import logging
from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.translation import gettext_lazy as _
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]

from event_stream import user_context
from service_kit.charsets import is_charset
from service_kit.problem_details import Problem, as_json, unreadable_body

logger = logging.getLogger("service_kit")

CORRELATION_ID_REPLACED = f"{user_context.CORRELATION_ID}-replaced"

# WSGI's names of the relevant headers, so that a request's other headers are not copied.
_META_NAMES = tuple(
    (f"HTTP_{name.upper().replace('-', '_')}", name)
    for name in (
        user_context.CORRELATION_ID,
        user_context.USER_ID,
        user_context.AUTHORIZATION,
        *user_context.ORGANIZATION_ID_ALIASES,
    )
)


class UserContextMiddleware:
    """Sets the caller's user context while the request is handled. List it first in MIDDLEWARE.

    Every response has `tmx-correlation-id`. An invalid id (over 128 characters, or with characters that don't belong in
    a log) is replaced by a new one, and `tmx-correlation-id-replaced` gives the reason.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        meta = request.META
        context, refused = user_context.from_headers(
            {name: meta[meta_name] for meta_name, name in _META_NAMES if meta_name in meta}
        )
        with user_context.use(context):
            reason = _refusal(refused) if refused else None
            if reason:
                logger.warning("correlation.replaced", extra={"reason": reason})
            response = self._get_response(request)
        response.headers[user_context.CORRELATION_ID] = context.correlation_id
        if reason:
            response.headers[CORRELATION_ID_REPLACED] = reason
        return response


def _refusal(correlation_id: str) -> str:
    return "longer than 128 characters" if len(correlation_id) > 128 else "holds characters that are not allowed"


class ReadableRequestMiddleware:
    """Refuses a request whose headers name what can't be read, and reads a body without a Content-Length.

    Django takes such a body (`Transfer-Encoding: chunked`) for an empty one, and a PATCH would change nothing. List it
    right after UserContextMiddleware.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        problem = _unreadable(request) or _read_chunks(request)
        return self._get_response(request) if problem is None else as_json(request, problem)


class MethodNotAllowedMiddleware:
    """Gives a problem as body to the empty 405 of a view of Django, or of static files. List it before both."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        # That of static files is an empty stream.
        has_body = isinstance(response, HttpResponse) and bool(response.content)
        if response.status_code != HTTPStatus.METHOD_NOT_ALLOWED or has_body:
            return response
        detail = _('Method "%(method)s" not allowed.') % {"method": request.method}
        return as_json(request, Problem(405, detail=detail, headers={"Allow": response.headers["Allow"]}))


def _unreadable(request: HttpRequest) -> Problem | None:
    charset = (request.content_params or {}).get("charset")
    if charset is not None and not is_charset(charset):
        return Problem(415, detail=_("Content-Type can't be read, or its charset is not known: use UTF-8."))
    if ";" in request.META.get("HTTP_ACCEPT", ""):
        try:
            # Kept by Django for the views. Parameters may name an encoding, or have a number of any length.
            request.accepted_types  # noqa: B018
        except ValueError:
            return Problem(400, detail=_("The Accept header can't be read."))
    return None


_WITHOUT_A_BODY = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def _read_chunks(request: HttpRequest) -> Problem | None:
    """Read the body into memory, up to DATA_UPLOAD_MAX_MEMORY_SIZE, as Django does with one of a known length."""
    coding = request.META.get("HTTP_TRANSFER_ENCODING")
    if coding is None or request.method in _WITHOUT_A_BODY:
        return None
    if coding.strip().lower() != "chunked":
        return Problem(501, detail=_("The only Transfer-Encoding that is understood is chunked."))
    if not request.META.get("wsgi.input_terminated"):
        return Problem(411, detail=_("Send the body with a Content-Length: this server does not read chunks."))
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    try:
        body = request.META["wsgi.input"].read(-1 if limit is None else limit + 1)
    except (OSError, ParseException) as error:
        return unreadable_body(error)
    if limit is not None and len(body) > limit:
        return Problem(413, detail=_("The request is larger than this service accepts."))
    request.META["CONTENT_LENGTH"] = str(len(body))
    request._stream = io.BytesIO(body)
    return None
