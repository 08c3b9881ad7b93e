"""What a WSGI server serves, with a request that no header can break."""

from collections.abc import Mapping
from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.wsgi import get_wsgi_application


class Request(WSGIRequest):
    """Django's, which `Content-Type: text/plain; charset*=utf-8''%00` ends before any middleware: the server's 500."""

    def _set_content_type_params(self, meta: Mapping[str, Any]) -> None:
        try:
            super()._set_content_type_params(meta)  # type: ignore[misc]  # not in the stubs
        except ValueError:
            # Python looks for no encoding of such a name. One that nobody knows is passed over, and so is this.
            self.content_params = {}


def get_application() -> WSGIHandler:
    """In the place of `django.core.wsgi.get_wsgi_application`."""
    application = get_wsgi_application()
    application.request_class = Request
    return application
