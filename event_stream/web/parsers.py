"""JSON bodies, within bounds."""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.utils.translation import gettext_lazy as _
from rest_framework import parsers
from rest_framework.exceptions import ParseError


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
