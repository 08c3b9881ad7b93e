"""How fresh the caller wants the organization to be, from the request's headers."""

import re
from collections.abc import Mapping

from django.utils.translation import gettext as _

from event_stream.fenced_cache import FreshnessRequirement
from service_kit.problem_details import Problem

MIN_VERSION = "Organization-Min-Version"

_DIRECTIVE = re.compile(r'\s*([A-Za-z0-9-]+)\s*(?:=\s*"?(\d{1,9})"?\s*)?', re.ASCII)
_VERSION = re.compile(r"\d{1,18}", re.ASCII)

NO_DEMAND = FreshnessRequirement()


def demand(meta: Mapping[str, str]) -> FreshnessRequirement:
    """What the headers (by WSGI's names) ask for: Cache-Control's no-cache, max-age and min-fresh, in seconds, and
    Organization-Min-Version, which lets a client read its own writes.

    A Cache-Control that can't be read is passed over (RFC 9111). A version that is none is a 400 problem: passed over,
    it would break the promise that was asked for.
    """
    cache_control = meta.get("HTTP_CACHE_CONTROL")
    min_version = meta.get("HTTP_ORGANIZATION_MIN_VERSION")
    if cache_control is None and min_version is None:
        return NO_DEMAND
    directives = _directives(cache_control or "")
    return FreshnessRequirement(
        no_cache="no-cache" in directives,
        max_age_s=directives.get("max-age"),
        min_fresh_s=directives.get("min-fresh"),
        min_version=None if min_version is None else _version(min_version),
    )


def _directives(header: str) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for part in header.split(","):
        if match := _DIRECTIVE.fullmatch(part):
            name, number = match.groups()
            found.setdefault(name.lower(), None if number is None else int(number))
    return found


def _version(text: str) -> int:
    if not _VERSION.fullmatch(text.strip()):
        raise Problem(
            400,
            detail=_("%(header)s should be a whole number: an organization's version.") % {"header": MIN_VERSION},
        )
    return int(text)
