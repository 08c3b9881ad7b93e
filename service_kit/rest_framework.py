"""JSON bodies, within bounds."""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.utils.translation import gettext_lazy as _
from rest_framework import parsers
from rest_framework.exceptions import ParseError
from rest_framework.metadata import SimpleMetadata
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request


class JSONParser(parsers.JSONParser):
    """DRF's, which reads a body of any length and lets a deeply nested one end in a RecursionError.

    DATA_UPLOAD_MAX_MEMORY_SIZE is the greatest length, as it is for forms: 413 beyond it.
    """

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if parser_context and limit is not None:
            # A body without a Content-Length reads as empty under WSGI, so that the header is the length.
            length = int(parser_context["request"].META.get("CONTENT_LENGTH") or 0)
            if length > limit:
                raise RequestDataTooBig(f"{length} bytes of JSON, {limit} are accepted")
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError(_("The JSON is nested too deeply.")) from None


# What OPTIONS answers.


class Metadata(SimpleMetadata):
    """DRF's, without the fields of each write: OpenAPI has them, and DRF would look for the object in its own way."""

    def determine_actions(self, request: Request, view: Any) -> dict[str, Any]:
        """Nothing, so that it is left out."""
        return {}


# DRF's browsable API, for pages on which no script may stand between the tags.


class BrowsableAPI(BrowsableAPIRenderer):
    """DRF's own *Log out* is a link with a script in it, which a Content-Security-Policy forbids: this is a button."""

    template = "service_kit/api.html"
