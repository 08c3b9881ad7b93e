"""`application/hal+json`: the same licenses with `_links`, for those who ask for it."""

from collections.abc import Iterable, Mapping
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from licenses.api import responses


class HalRenderer(JSONRenderer):
    media_type = "application/hal+json"
    format = "hal"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """A license or a page of licenses; whatever else there is to say (a schema) is left as it is."""
        if renderer_context and isinstance(data, Mapping):
            data = self._linked(data, renderer_context["request"], renderer_context["kwargs"])
        return super().render(data, self.media_type, renderer_context)

    def _linked(self, data: Mapping[str, Any], request: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        if "licenseId" in data:
            return {**data, "_links": responses.of_license(request, data["organizationId"], data["licenseId"])}
        if "results" in data:
            return {
                "count": data["count"],
                "_embedded": {
                    "licenses": [self._linked(each, request, kwargs) for each in data["results"]],
                },
                "_links": responses.of_page(
                    request, kwargs["organization_id"], next=data["next"], previous=data["previous"]
                ),
            }
        return dict(data)


# Which renderer answers a request.


class Negotiation(DefaultContentNegotiation):
    """DRF's, without its detours: most requests leave the choice to us, or want what is our first choice anyway."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        meta = request.META
        # A query may name a format, which goes before the header.
        if (
            not format_suffix
            and not meta.get("QUERY_STRING")
            and meta.get("HTTP_ACCEPT", "*/*") in {"*/*", first.media_type}
        ):
            return first, first.media_type
        chosen: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
        return chosen

    def get_accept_list(self, request: Request) -> list[str]:
        # `request.headers` would take every header of the request apart.
        return [token.strip() for token in request.META.get("HTTP_ACCEPT", "*/*").split(",")]
