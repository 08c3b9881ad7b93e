"""Which renderer answers a request."""

from collections.abc import Iterable

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


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
