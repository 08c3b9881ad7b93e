"""The WSGI application, with a request class that no header can break, and bounded waits for the database."""

import codecs
from collections.abc import Mapping
from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.wsgi import get_wsgi_application
from django.utils.http import parse_header_parameters

from service_kit.database import bound_waits

# Python's notations for identifiers and host names, and the codec that always fails. As an encoding of a query or a
# form they raise errors that Django does not expect.
_NOT_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})

_UNREADABLE = {"charset": ""}


def is_charset(name: str) -> bool:
    """Return whether text can be sent in an encoding of this name; many of Python's codecs have other purposes."""
    try:
        # Unlike codecs.lookup, str.encode refuses those that are not of text, such as zlib.
        "".encode(name)
        return codecs.lookup(name).name not in _NOT_CHARSETS
    except (LookupError, ValueError):
        return False


class Request(WSGIRequest):
    """Django's request, whose constructor raises for some `Content-Type`, before any middleware runs."""

    def _set_content_type_params(self, meta: Mapping[str, Any]) -> None:
        """Set content_type and content_params; the charset is not used unless it is one.

        Django's own method evaluates the query as well, in whatever encoding is named: `charset=zlib` raises, and so
        do too many parameters. ReadableRequestMiddleware answers.
        """
        try:
            self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except ValueError:
            self.content_type, self.content_params = "", _UNREADABLE
        charset = self.content_params.get("charset")
        if charset is not None and is_charset(charset):
            self._encoding = charset


def get_application() -> WSGIHandler:
    """Return the application; use it in place of `django.core.wsgi.get_wsgi_application`."""
    application = get_wsgi_application()
    bound_waits()
    application.request_class = Request
    return application
