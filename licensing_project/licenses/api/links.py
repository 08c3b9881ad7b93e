"""The URLs of licenses, absolute as the caller sees them: behind the gateway with its host and prefix."""

from typing import Any

from django.urls import reverse
from rest_framework.request import Request

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
