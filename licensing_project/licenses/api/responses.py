"""Answers that hold an organization: the bytes of the hot one, and the headers of all."""

import json
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from rest_framework.request import Request

from event_stream.fenced_cache import CacheStatus, Found
from licenses.selectors import LicenseRow
from organization_lookup import lookup, organization
from service_kit.conditional_requests import etag

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def render_fast(row: LicenseRow, spliceable: bytes | None) -> bytes:
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
    return b"%b,%b}" % (own[:-1].encode(), spliceable or organization.NULL_FIELDS)


def json_license(row: LicenseRow, found: Found) -> HttpResponse:
    """The answer to a lookup of a license as JSON."""
    body = render_fast(row, found.value)
    response = HttpResponse(body, content_type="application/json")
    set_freshness_headers(response, found)
    set_etag(response, row.version, found, "json")
    response.headers["Content-Length"] = str(len(body))
    return response


def set_freshness_headers(response: HttpResponseBase, found: Found | None) -> None:
    """How the organization was found and how fresh it is proven to be; None: it could not be asked for."""
    headers = response.headers
    headers["Vary"] = "Accept, Accept-Language, Authorization, Cookie"
    if found is None:
        headers["Organization-Cache"] = "unavailable"
        headers["Cache-Control"] = "no-store"
        return
    fresh_at_s = found.fresh_at_ms / 1000
    headers["Organization-Cache"] = found.source.value
    if lookup.current().versioned:
        headers["Organization-Version"] = str(found.version)
    else:
        headers["Organization-Unversioned"] = "?1"
    headers["Organization-Fresh-At"] = (
        datetime.fromtimestamp(fresh_at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
    headers["Age"] = str(max(0, int(time.time() - fresh_at_s)))
    headers["Cache-Control"] = f"private, max-age={int(settings.ORGANIZATION_LOOKUP.max_staleness_s)}, must-revalidate"
    if found.value is None:
        headers["Organization-Absent"] = "?1"
    if found.source is CacheStatus.STALE:
        headers["Warning"] = '110 - "Response is Stale"'


def set_etag(response: HttpResponseBase, license_version: int, found: Found | None, media: str) -> None:
    """The entity tag of one license's answer."""
    response.headers["ETag"] = etag(license_tag(license_version, found, media))


# Entity tags of licenses: `"<license version>-<organization version>-<representation>"`: an answer changes with each.
# An organization without versions has a fingerprint of its members in that place.
#
# A write changes the license alone, so its If-Match and If-None-Match are compared with the first of the two: an
# organization that got a new contact meanwhile is no lost update.

_SAMPLE = LicenseRow(UUID(int=1), UUID(int=2), "description", "product", "type", "comment", 1)


def representation() -> str:
    """The name of the shape of a license's answer: it changes with every field, whoever's it is, by itself.

    A client that has the answer of the version of this service before must not be told that it is current.
    """
    return organization.fingerprint(render_fast(_SAMPLE, organization.members(organization.SAMPLE))).decode()


_REPRESENTATION = representation()


def license_tag(license_version: int, found: Found | None, media: str) -> str:
    """What conditional.etag puts in quotes. Another media type is another representation, so another tag."""
    tag = f"{license_version}-{_organization_tag(found)}-{_REPRESENTATION}"
    return tag if media == "json" else f"{tag}-{media}"


def _organization_tag(found: Found | None) -> str:
    if found is None:
        return ""
    if lookup.current().versioned:
        return str(found.version)
    return organization.fingerprint(found.value or b"").decode()


def license_part(tag: str) -> str:
    """Return what a write's preconditions compare: the license's version."""
    return tag.partition("-")[0]


# The URLs of licenses, absolute as the caller sees them: behind the gateway with its host and prefix.

Link = dict[str, str]


def license_url(request: Request, organization_id: Any, license_id: Any) -> str:
    path = reverse("license", kwargs={"organization_id": organization_id, "license_id": license_id})
    return request.build_absolute_uri(path)


def collection_url(request: Request, organization_id: Any) -> str:
    return request.build_absolute_uri(reverse("licenses", kwargs={"organization_id": organization_id}))


def of_license(request: Request, organization_id: Any, license_id: Any) -> dict[str, Link]:
    """The `_links` of one license, under the source's names for them."""
    itself = {"href": license_url(request, organization_id, license_id)}
    collection = {"href": collection_url(request, organization_id)}
    return {
        "self": itself,
        "createLicense": collection,
        "updateLicense": itself,
        "deleteLicense": itself,
        "collection": collection,
    }


def of_page(request: Request, organization_id: Any, *, next: str | None, previous: str | None) -> dict[str, Link]:
    """The `_links` of a page of the list."""
    collection = {"href": collection_url(request, organization_id)}
    links = {
        "self": {"href": request.build_absolute_uri()},
        "collection": collection,
        "createLicense": collection,
    }
    if next:
        links["next"] = {"href": next}
    if previous:
        links["prev"] = {"href": previous}
    return links
