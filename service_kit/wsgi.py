"""The WSGI application, with a request class that no header can break, and bounded waits for the database."""

from collections.abc import Mapping
from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.wsgi import get_wsgi_application

from service_kit.database import bound_waits


class Request(WSGIRequest):
    """Django's request, in which `Content-Type: text/plain; charset*=utf-8''%00` raises before any middleware runs."""

    def _set_content_type_params(self, meta: Mapping[str, Any]) -> None:
        try:
            super()._set_content_type_params(meta)  # type: ignore[misc]  # not in the stubs
        except ValueError:
            # Python has no encoding with such a name. Ignore it like an unknown encoding.
            self.content_params = {}


def get_application() -> WSGIHandler:
    """Return the application; use it in place of `django.core.wsgi.get_wsgi_application`."""
    application = get_wsgi_application()
    bound_waits()
    application.request_class = Request
    return application
