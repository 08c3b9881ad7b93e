"""Conditional requests (RFC 9110, section 13) with a version: they prevent lost updates and needless bodies.

Every entity tag is strong and is the version in quotes, so that a client that knows one knows the other.
"""

import re

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request

from service_kit.problem_details import Problem

Version = int | str
"""Changes whenever the representation does; a text may hold whatever an entity tag may."""

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_OPAQUE = re.compile(r"[\x21\x23-\x7e\x80-\xff]+")


def etag(version: Version) -> str:
    """Return the value of the ETag header. Raises ValueError for a text that no entity tag can hold."""
    text = str(version)
    if not _OPAQUE.fullmatch(text):
        raise ValueError(f"{text!r} can't be an entity tag: visible characters only, and no quotes")
    return f'"{text}"'


def check_if_match(request: HttpRequest | Request, version: Version | None, *, required: bool = False) -> None:
    """Let an update pass only if its If-Match names the current version; None means that nothing exists.

    Raises Problem: 412 if it names another version (the response's ETag is the current one), 400 if it can't be parsed
    (a precondition must not be ignored), 428 if it is missing and `required`.
    """
    header = request.META.get("HTTP_IF_MATCH")
    if header is None:
        if required:
            raise Problem(428, detail=_("Send If-Match with the entity tag of the version that you have read."))
        return
    tags = _parse(header)
    if tags is None:
        raise Problem(400, detail=_('If-Match should be a list of entity tags in quotes, "17" for example, or *.'))
    if version is not None:
        current = etag(version)
        # Strong comparison: W/"17" never matches.
        if "*" in tags or current in tags:
            return
        raise Problem(
            412, detail=_("It has been changed since you have read it: read it again."), headers={"ETag": current}
        )
    raise Problem(412, detail=_("There is nothing here that If-Match could match."))


def not_modified(request: HttpRequest | Request, version: Version) -> bool:
    """Return whether the request's If-None-Match names this version, so that a 304 suffices.

    An invalid header is ignored, because a full response is always correct.
    """
    header = request.META.get("HTTP_IF_NONE_MATCH")
    if header is None:
        return False
    tags = _parse(header) or ()
    # Weak comparison: a proxy that compresses weakens the tags in transit.
    return "*" in tags or etag(version) in {tag.removeprefix("W/") for tag in tags}


def _parse(header: str) -> tuple[str, ...] | None:
    """Return the tags of a list as sent, ("*",) for the star, or None for anything else."""
    if header.strip() == "*":
        return ("*",)
    tags = []
    # Skip empty list elements (RFC 9110, section 5.6.1).
    position = len(header) - len(header.lstrip(", \t"))
    while position < len(header):
        match = _TAG.match(header, position)
        if not match:
            return None
        tags.append(match[0])
        rest = header[match.end() :].lstrip(" \t")
        if rest and not rest.startswith(","):
            return None
        position = len(header) - len(rest.lstrip(", \t"))
    return tuple(tags) or None
