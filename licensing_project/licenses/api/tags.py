"""Entity tags of licenses: `"<license version>-<organization version>"`, as an answer changes with either.

A write changes the license alone, so the If-Match of a write is held against the first of the two: an organization that
got a new contact meanwhile is no lost update.
"""

import re
from collections.abc import Callable

from django.http import HttpRequest
from rest_framework.request import Request

from event_stream.web.conditional import check_if_match, etag

_TAG_OF_BOTH = re.compile(r'"(\d+)-[^"]*"')


def license_tag(license_version: int, organization_version: int | None, media: str) -> str:
    """What conditional.etag puts in quotes. Another media type is another representation, so another tag."""
    tag = f"{license_version}-{organization_version if organization_version is not None else ''}"
    return tag if media == "json" else f"{tag}-{media}"


def if_match(request: Request) -> Callable[[int], None]:
    """A check of a license's version against the request's If-Match: 412 or 400 problems."""
    held = HttpRequest()
    if header := request.META.get("HTTP_IF_MATCH"):
        held.META["HTTP_IF_MATCH"] = _TAG_OF_BOTH.sub(r'"\1"', header)

    def check(version: int) -> None:
        check_if_match(held, version)

    return check


__all__ = ["etag", "if_match", "license_tag"]
