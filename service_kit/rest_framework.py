"""Variants of DRF's parser, metadata and browsable API."""

import codecs
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.utils.translation import gettext_lazy as _
from rest_framework import parsers
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.metadata import SimpleMetadata
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.utils import json

from service_kit.conditional_requests import forbid_reuse
from service_kit.request_bodies import DuplicateMemberError, shown, unique_members


class JSONParser(parsers.JSONParser):
    """DRF's parser with limits: a body that is too long is a 413; nested too deeply, or with a name twice, a 400.

    DATA_UPLOAD_MAX_MEMORY_SIZE is the maximum length, as for forms.
    """

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if parser_context and limit is not None:
            # A chunked body has one by now: see ReadableRequestMiddleware.
            length = int(parser_context["request"].META.get("CONTENT_LENGTH") or 0)
            if length > limit:
                raise RequestDataTooBig(f"{length} bytes of JSON, {limit} are accepted")
        try:
            encoding = parsers.get_encoding(parser_context or {})  # type: ignore[attr-defined] # the stubs lack it
            return json.loads(codecs.getreader(encoding)(stream).read(), object_pairs_hook=unique_members)
        except DuplicateMemberError as duplicate:
            raise ValidationError({shown(duplicate.name): [_("It is given more than once.")]}) from None
        except ValueError as error:
            raise ParseError(_("The JSON can't be read: %(error)s") % {"error": error}) from None
        except RecursionError:
            raise ParseError(_("The JSON is nested too deeply.")) from None


class Metadata(SimpleMetadata):
    """DRF's answer to OPTIONS without the fields: OpenAPI describes them, and DRF would load the object for them."""

    def determine_actions(self, request: Request, view: Any) -> dict[str, Any]:
        """Return nothing, so that DRF leaves the actions out."""
        return {}


class BrowsableAPI(BrowsableAPIRenderer):
    """DRF's browsable API with pages of our own: at any width, light and dark, labelled, and without inline scripts.

    Its forms send If-Match with the entity tag of the version that the page shows. The page itself has no tag: it
    depends on its reader, and the tag is that of the representation that the page shows.
    """

    template = "service_kit/api.html"

    def get_context(
        self, data: Any, accepted_media_type: str | None, renderer_context: Mapping[str, Any]
    ) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(data, accepted_media_type, renderer_context)
        # After an error the condition is still the one that the form was sent with.
        sent = renderer_context["request"].META.get("HTTP_IF_MATCH", "")
        response = renderer_context["response"]
        return context | {"if_match": sent if response.status_code >= 400 else response.headers.get("ETag", "")}

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> Any:
        page = super().render(data, accepted_media_type, renderer_context)
        if renderer_context:
            forbid_reuse(renderer_context["response"])
        return page
