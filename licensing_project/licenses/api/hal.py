"""`application/hal+json`: the same licenses with `_links`, for those who ask for it."""

from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import JSONRenderer

from licenses.api import links


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
            return {**data, "_links": links.of_license(request, data["organizationId"], data["licenseId"])}
        if "results" in data:
            return {
                "count": data["count"],
                "_embedded": {
                    "licenses": [self._linked(each, request, kwargs) for each in data["results"]],
                },
                "_links": links.of_page(
                    request, kwargs["organization_id"], next=data["next"], previous=data["previous"]
                ),
            }
        return dict(data)
