"""Errors as RFC 9457 problem details, `application/problem+json`, whoever noticed them: a view, DRF or Django.

    {"type": "/problems/validation", "title": "Not valid", "status": 400, "detail": "…", "instance": "/v1/…",
     "correlationId": "…", "errors": [{"field": "contactEmail", "message": "…"}]}

Services raise Problem, or whatever Django and DRF raise anyway. In the settings, REST_FRAMEWORK["EXCEPTION_HANDLER"]
names `event_stream.web.problem.exception_handler`; in the root urlconf, handler400, 403, 404 and 500 name
`bad_request`, `forbidden`, `not_found` and `server_error` of this module. A browser, which asks for text/html, gets a
page.
"""

from event_stream.web.problem.answer import bad_request, exception_handler, forbidden, not_found, server_error
from event_stream.web.problem.details import MEDIA_TYPE, Problem, unavailable

__all__ = [
    "MEDIA_TYPE",
    "Problem",
    "bad_request",
    "exception_handler",
    "forbidden",
    "not_found",
    "server_error",
    "unavailable",
]
