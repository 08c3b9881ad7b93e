"""Conditional requests (RFC 9110, section 13) with a version: they prevent lost updates and needless bodies.

Every entity tag is strong and is the version in quotes, so that a client that knows one knows the other.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest
from django.http.response import HttpResponseBase
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


def check_preconditions(
    request: HttpRequest | Request,
    version: Version | None,
    *,
    exists: bool | None = None,
    required: bool = False,
    comparable: Callable[[str], str] = str,
) -> None:
    """Let a write pass only if its If-Match and If-None-Match allow it.

    `version` is the current one. None means that nothing exists; with `exists`, that it has no version (a collection).
    `comparable` returns the part of a tag that is compared with the version.

    Raises Problem: 412 if a precondition does not hold (the response's ETag is the current one), 400 if it can't be
    parsed (a precondition must not be ignored), 428 if If-Match is missing and `required`. If-Unmodified-Since is
    ignored, as the RFC requires where there is no Last-Modified.
    """
    wanted, excluded = _read(request, "If-Match", comparable), _read(request, "If-None-Match", comparable)
    if exists is None:
        exists = version is not None
    if wanted is None and required:
        raise Problem(428, detail=_("Send If-Match with the entity tag of the version that you have read."))
    if wanted is not None:
        _check_match(wanted, version, exists=exists)
    if excluded is not None and exists and excluded.name_weakly(version):
        raise Problem(
            412, detail=_("If-None-Match excludes what is here now: nothing was written."), headers=_current(version)
        )


def has_preconditions(request: HttpRequest | Request) -> bool:
    """Return whether `check_preconditions` would look at the version."""
    return "HTTP_IF_MATCH" in request.META or "HTTP_IF_NONE_MATCH" in request.META


def not_modified(request: HttpRequest | Request, version: Version) -> bool:
    """Return whether a read's If-None-Match names this version, so that a 304 suffices.

    An invalid If-None-Match is ignored, because a full response is always correct, and so is one to a request that is
    answered with a page: pages have no entity tag. Raises Problem if there is an If-Match, as check_preconditions does.
    """
    wanted = _read(request, "If-Match")
    if wanted is not None:
        _check_match(wanted, version, exists=True)
    if is_page(request):
        # Browsers ask for it with the tag of the JSON that they have of the same URL.
        return False
    tags = _parse(request.META.get("HTTP_IF_NONE_MATCH", ""))
    return tags is not None and tags.name_weakly(version)


def is_page(request: HttpRequest | Request) -> bool:
    """Return whether a view of DRF answers with a page, which depends on its reader, and on the form's secret in it."""
    renderer = getattr(request, "accepted_renderer", None)
    return renderer is not None and renderer.media_type == "text/html"


def forbid_reuse(page: HttpResponseBase) -> None:
    """Let nobody get a page again that was made for somebody: no entity tag, and no copy in a cache."""
    page.headers.pop("ETag", None)
    page.headers["Cache-Control"] = "private, no-store"


@dataclass(frozen=True, slots=True)
class _Tags:
    """The entity tags of a header, without their quotes."""

    star: bool = False
    strong: frozenset[str] = frozenset()
    weak: frozenset[str] = frozenset()

    def name_strongly(self, version: Version | None) -> bool:
        """W/"17" never matches."""
        return self.star or (version is not None and str(version) in self.strong)

    def name_weakly(self, version: Version | None) -> bool:
        """A proxy that compresses weakens the tags in transit."""
        return self.name_strongly(version) or (version is not None and str(version) in self.weak)


def _check_match(wanted: _Tags, version: Version | None, *, exists: bool) -> None:
    if exists and wanted.name_strongly(version):
        return
    if version is None:
        raise Problem(412, detail=_("There is nothing here that If-Match could match."))
    raise Problem(
        412, detail=_("It has been changed since you have read it: read it again."), headers=_current(version)
    )


def _current(version: Version | None) -> dict[str, str]:
    return {} if version is None else {"ETag": etag(version)}


def _read(request: HttpRequest | Request, name: str, comparable: Callable[[str], str] = str) -> _Tags | None:
    """Return the tags of a header, None without it. Raises Problem 400."""
    header = request.META.get(f"HTTP_{name.upper().replace('-', '_')}")
    if header is None:
        return None
    tags = _parse(header, comparable)
    if tags is None:
        detail = _('%(header)s should be a list of entity tags in quotes, "17" for example, or *.') % {"header": name}
        raise Problem(400, detail=detail)
    return tags


def _parse(header: str, comparable: Callable[[str], str] = str) -> _Tags | None:
    """Return the tags of a list, None for anything else."""
    if header.strip() == "*":
        return _Tags(star=True)
    tags: dict[bool, set[str]] = {True: set(), False: set()}
    # Skip empty list elements (RFC 9110, section 5.6.1).
    position = len(header) - len(header.lstrip(", \t"))
    while position < len(header):
        match = _TAG.match(header, position)
        if not match:
            return None
        tags[match[1] is not None].add(comparable(match[2]))
        rest = header[match.end() :].lstrip(" \t")
        if rest and not rest.startswith(","):
            return None
        position = len(header) - len(rest.lstrip(", \t"))
    if not any(tags.values()):
        return None
    return _Tags(strong=frozenset(tags[False]), weak=frozenset(tags[True]))
