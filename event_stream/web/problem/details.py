"""The problem itself: what an error answer says."""

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.utils.encoding import escape_uri_path
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException

from event_stream import correlation

MEDIA_TYPE = "application/problem+json"

Text = str | Promise

KINDS: Mapping[int, tuple[str, Text]] = {
    400: ("bad-request", _("Bad request")),
    401: ("unauthenticated", _("Not authenticated")),
    403: ("forbidden", _("Forbidden")),
    404: ("not-found", _("Not found")),
    405: ("method-not-allowed", _("Method not allowed")),
    406: ("not-acceptable", _("Not acceptable")),
    409: ("conflict", _("Conflict")),
    412: ("precondition-failed", _("Precondition failed")),
    413: ("content-too-large", _("Content too large")),
    415: ("unsupported-media-type", _("Unsupported media type")),
    428: ("precondition-required", _("Precondition required")),
    429: ("too-many-requests", _("Too many requests")),
    500: ("internal", _("Internal error")),
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
            "correlationId": correlation.current_or_new().correlation_id,
            **self.extra,
        }
        if self.errors:
            body["errors"] = [{"field": field, "message": message} for field, message in self.errors]
        return body


def unavailable(detail: Text, *, retry_after_s: float) -> Problem:
    """503: the same request may well be answered later."""
    return Problem(503, detail=detail, headers={"Retry-After": str(max(1, math.ceil(retry_after_s)))})
