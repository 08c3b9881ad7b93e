"""From an exception to the problem it means for the caller."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from django.core import exceptions as core
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404
from django.http.multipartparser import MultiPartParserError
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions as drf
from rest_framework.settings import api_settings

from event_stream.errors import UnavailableError
from event_stream.web.problem.details import Problem, unavailable

RETRY_AFTER_S = 5


def problem_of(exc: BaseException | None) -> Problem | None:
    """The problem, or None for an exception that nobody foresaw: a 500, to be logged with its traceback."""
    return next((translate(exc) for kinds, translate in _TRANSLATIONS if isinstance(exc, kinds)), None)


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
        lambda _exc: Problem(400, detail=_("The request can't be read.")),
    ),
    (
        (DataError,),
        lambda _exc: Problem(400, detail=_("The request holds a value that can't be stored.")),
    ),
    (
        (OperationalError, InterfaceError, UnavailableError),
        lambda _exc: unavailable(_("A server that is needed is away. Try again."), retry_after_s=RETRY_AFTER_S),
    ),
)
"""The first whose kinds fit speaks."""
