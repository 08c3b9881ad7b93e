"""Middleware that sets the user context of a request."""

import logging
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from event_stream import user_context

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
