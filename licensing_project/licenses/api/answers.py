"""Answers that hold an organization: the bytes of the hot one, and the headers of all."""

import json
import time
from datetime import UTC, datetime

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from event_stream.cache import Found, Source
from event_stream.web.conditional import etag
from licenses.api.tags import license_tag
from licenses.selectors import LicenseRow
from organization_lookup import organization

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def spliced(row: LicenseRow, spliceable: bytes | None) -> bytes:
    """The JSON of a license, with its organization's members as they lay in the cache: not decoded, not encoded."""
    own = _COMPACT(
        {
            "licenseId": str(row.license_id),
            "organizationId": str(row.organization_id),
            "description": row.description,
            "productName": row.product_name,
            "licenseType": row.license_type,
            "comment": row.comment,
        }
    )
    return b"%b,%b}" % (own[:-1].encode(), spliceable or organization.NOBODY)


def json_answer(body: bytes) -> HttpResponse:
    return HttpResponse(body, content_type="application/json")


def tell_organization(response: HttpResponseBase, request: Request, found: Found | None) -> None:
    """How the organization was found and how fresh it is proven to be; None: it could not be asked for."""
    headers = response.headers
    headers["Vary"] = "Accept, Accept-Language, Authorization, Cookie"
    if found is None:
        headers["Organization-Cache"] = "unavailable"
        headers["Cache-Control"] = "no-store"
        return
    fresh_at_s = found.fresh_at_ms / 1000
    headers["Organization-Cache"] = found.source.value
    headers["Organization-Version"] = str(found.version)
    headers["Organization-Fresh-At"] = (
        datetime.fromtimestamp(fresh_at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
    headers["Age"] = str(max(0, int(time.time() - fresh_at_s)))
    if request.accepted_renderer.format == "api":
        # A page is for a person, who may have changed the organization in the next tab.
        headers["Cache-Control"] = "private, no-cache"
    else:
        headers["Cache-Control"] = f"private, max-age={int(settings.ORGANIZATION_LOOKUP.bound_s)}, must-revalidate"
    if found.value is None:
        headers["Organization-Absent"] = "?1"
    if found.source is Source.STALE:
        headers["Warning"] = '110 - "Response is Stale"'


def tell_tag(response: HttpResponseBase, request: Request, license_version: int, found: Found | None) -> None:
    """The entity tag of one license's answer."""
    version = found.version if found else None
    response.headers["ETag"] = etag(license_tag(license_version, version, request.accepted_renderer.format))
