"""The WSGI application: a request class that no header can break, bounded waits and searches."""

from collections.abc import Mapping
from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.wsgi import get_wsgi_application
from django.utils.http import parse_header_parameters

from service_kit import health
from service_kit.charsets import bound_searches, is_charset
from service_kit.database import bound_waits
from service_kit.settings import sources
from service_kit.settings.refresh_scope import refresh

_UNREADABLE = {"charset": ""}
_PROBED = frozenset({*health.PATHS, "/metrics"})


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

    def get_host(self) -> str:
        """Return Django's answer; probes and Prometheus name the pod's address, which no setting can know."""
        return "localhost" if self.path_info in _PROBED else super().get_host()


def get_application() -> WSGIHandler:
    """Return the application; use it in place of `django.core.wsgi.get_wsgi_application`."""
    application = get_wsgi_application()
    bound_waits()
    bound_searches()
    application.request_class = Request
    if sources.is_inherited():
        # gunicorn has read CONFIG_FILE when it started, or at the last SIGHUP.
        refresh("start of a process")
    return application
