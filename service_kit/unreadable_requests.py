"""Requests that gunicorn can't read: answered with a problem, and in no log.

gunicorn's own answer and log line repeat the request: with its query, and so with tokens and names.
"""

import json
import ssl
from http import HTTPStatus
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.http import errors  # type: ignore[import-untyped]
from gunicorn.workers.base import Worker  # type: ignore[import-untyped]

Refusal = tuple[HTTPStatus, str, str]
"""The status, the last segment of the problem's type, and its detail."""

HEAD_TOO_LARGE: Refusal = (
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "headers-too-large",
    "There are too many headers, or one is too long.",
)
TIMEOUT: Refusal = (HTTPStatus.REQUEST_TIMEOUT, "timeout", "The request did not arrive in time.")
_GENERAL: Refusal = (HTTPStatus.BAD_REQUEST, "bad-request", "The request can't be read.")
_BY_ERROR: dict[type[Exception], Refusal] = {
    errors.InvalidRequestLine: (
        HTTPStatus.BAD_REQUEST,
        "bad-request",
        "The address can't be read. Percent-encode blanks and characters beyond ASCII: ü is %C3%BC. curl does it with "
        "--get --data-urlencode 'search=…'.",
    ),
    errors.ExpectationFailed: (
        HTTPStatus.EXPECTATION_FAILED,
        "expectation-failed",
        "The only Expect header that is understood is 100-continue.",
    ),
    errors.LimitRequestLine: (HTTPStatus.REQUEST_URI_TOO_LONG, "uri-too-long", "The address is too long."),
    errors.LimitRequestHeaders: HEAD_TOO_LARGE,
    errors.UnsupportedTransferCoding: (
        HTTPStatus.NOT_IMPLEMENTED,
        "not-implemented",
        "The only Transfer-Encoding that is understood is chunked.",
    ),
    errors.ForbiddenProxyRequest: (HTTPStatus.FORBIDDEN, "forbidden", "This proxy is not known."),
    ssl.SSLError: (HTTPStatus.FORBIDDEN, "forbidden", "The TLS connection can't be used."),
}
# What the application or the configuration got wrong.
_NOT_THE_CALLERS = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName, errors.ConfigurationProblem)


class ProblemAnswers(Worker):  # type: ignore[misc]
    """Mix-in of a worker class of gunicorn, with a `handle_error` of its own."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        callers = isinstance(exc, errors.ParseException | ssl.SSLError) and not isinstance(exc, _NOT_THE_CALLERS)
        if not callers:
            super().handle_error(req, client, addr, exc)
            return
        refusal = next((refusal for kind, refusal in _BY_ERROR.items() if isinstance(exc, kind)), _GENERAL)
        self.refuse(client, addr, refusal, error=type(exc).__name__)

    def refuse(self, client: Any, addr: Any, refusal: Refusal, *, error: str = "") -> None:
        """Answer and log that a request can't be read. The caller closes the connection."""
        status, slug, detail = refusal
        self.log.info(
            "http.unreadable",
            extra={"client": addr[0] if addr else "", "status": int(status), "error": error or slug},
        )
        try:
            util.write_nonblock(client, _response(status, slug, detail))
        except OSError:
            self.log.debug("Failed to send error message.")


def _response(status: HTTPStatus, slug: str, detail: str) -> bytes:
    problem = {"type": f"/problems/{slug}", "title": status.phrase, "status": int(status), "detail": detail}
    body = json.dumps(problem).encode()
    head = (
        f"HTTP/1.1 {int(status)} {status.phrase}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
        f"Cache-Control: no-store\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
