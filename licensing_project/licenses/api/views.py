"""Licenses over HTTP. Thin: selectors read, services write, organization_lookup finds the organization."""

from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from event_stream.fenced_cache import FetchFailed, Found, FreshnessRequirement, VersionNotReached
from licenses import selectors, services
from licenses.api import openapi, responses
from licenses.api.serializers import LicenseSerializer
from licenses.models import License
from organization_lookup import lookup, organization
from organization_lookup.client import OrganizationLookupError, UpstreamAuthError
from organization_lookup.freshness import demand
from service_kit.conditional_requests import check_preconditions, not_modified
from service_kit.problem_details import Problem, unavailable


class LicenseView(GenericAPIView[License]):
    """What the list and the single license have in common."""

    serializer_class = LicenseSerializer

    def get_queryset(self) -> QuerySet[License]:
        return selectors.licenses_of(self.kwargs["organization_id"])

    def checked(self, request: Request, *, instance: Any = None, partial: bool = False) -> dict[str, Any]:
        """The body's fields by their names in the model; a 400 problem if they are not valid."""
        serializer = self.get_serializer(instance, data=request.data, partial=partial)
        serializer.is_valid(raise_exception=True)
        fields: dict[str, Any] = serializer.validated_data
        return fields

    def answer(
        self, request: Request, license: License | selectors.LicenseRow, found: Found | None, status: int = 200
    ) -> HttpResponseBase:
        """One license by the long way, which every media type and every write can go."""
        context = {**self.get_serializer_context(), "organization": organization.fields(found.value if found else None)}
        response = Response(LicenseSerializer(license, context=context).data, status=status)
        responses.set_freshness_headers(response, found)
        responses.set_etag(response, license.version, found, request.accepted_renderer.format)
        return response


class Licenses(LicenseView):
    """The licenses of one organization."""

    name = "Licenses"

    @openapi.list_licenses
    def get(self, request: Request, organization_id: UUID) -> HttpResponseBase:
        found = find(request, organization_id)
        page = self.paginate_queryset(self.get_queryset()) or []
        if found.value is None and not page:
            raise absent(organization_id)
        context = {**self.get_serializer_context(), "organization": organization.fields(found.value)}
        response = self.get_paginated_response(LicenseSerializer(page, many=True, context=context).data)
        responses.set_freshness_headers(response, found)
        return response

    @openapi.create_license
    def post(self, request: Request, organization_id: UUID) -> HttpResponseBase:
        fields = self.checked(request)
        found = find_existing(request, organization_id)
        check_preconditions(request, None, exists=True)
        license = services.create_license(organization_id=organization_id, fields=fields)
        response = self.answer(request, license, found, status=201)
        response.headers["Location"] = responses.license_url(request, organization_id, license.license_id)
        return response


class SingleLicense(LicenseView):
    """One license of an organization, with the organization's name and contact."""

    name = "License"

    @openapi.get_license
    def get(self, request: Request, organization_id: UUID, license_id: UUID) -> HttpResponseBase:
        row = selectors.read_license(organization_id=organization_id, license_id=license_id)
        if row is None:
            raise _absent(organization_id, license_id)
        found = find(request, organization_id)
        media = request.accepted_renderer.format
        response: HttpResponseBase
        if not_modified(request, responses.license_tag(row.version, found, media)):
            response = HttpResponseNotModified()
            responses.set_freshness_headers(response, found)
            responses.set_etag(response, row.version, found, media)
        elif media == "json":
            response = responses.json_license(row, found)
        else:
            response = self.answer(request, row, found)
        return response

    @openapi.update_license
    def put(self, request: Request, organization_id: UUID, license_id: UUID) -> HttpResponseBase:
        return self._update(request, organization_id, license_id, partial=False)

    @openapi.patch_license
    def patch(self, request: Request, organization_id: UUID, license_id: UUID) -> HttpResponseBase:
        return self._update(request, organization_id, license_id, partial=True)

    @openapi.delete_license
    def delete(self, request: Request, organization_id: UUID, license_id: UUID) -> HttpResponseBase:
        try:
            services.delete_license(
                organization_id=organization_id, license_id=license_id, check=_preconditions(request)
            )
        except License.DoesNotExist:
            raise _absent(organization_id, license_id) from None
        return Response(status=204)

    def _update(self, request: Request, organization_id: UUID, license_id: UUID, *, partial: bool) -> HttpResponseBase:
        fields = self.checked(request, partial=partial)
        try:
            license = services.update_license(
                organization_id=organization_id, license_id=license_id, fields=fields, check=_preconditions(request)
            )
        except License.DoesNotExist:
            raise _absent(organization_id, license_id) from None
        return self.answer(request, license, find_if_possible(request, organization_id))


def _preconditions(request: Request) -> services.Check:
    return partial(check_preconditions, request, comparable=responses.license_part)


def _absent(organization_id: UUID, license_id: UUID) -> Problem:
    return Problem(
        404,
        type="/problems/license-not-found",
        title=_("License not found"),
        detail=_("The organization %(organization)s has no license %(license)s.")
        % {"organization": organization_id, "license": license_id},
    )


# The organization of the path, for the views: found, or a problem that says why not.


def find(request: Request, organization_id: UUID) -> Found:
    """As fresh as the request demands. Its value is None for an organization that doesn't exist.

    Problems: 503 when nothing is known of it and its service can't be asked, 401 and 403 as that service answers them,
    412 for an Organization-Min-Version that it has not reached.
    """
    return _found(organization_id, demand(request.META))


def find_existing(request: Request, organization_id: UUID) -> Found:
    """The same, and a 404 problem for one that doesn't exist; an absence out of the cache is asked about."""
    found = find(request, organization_id)
    if found.value is None:
        found = _found(organization_id, FreshnessRequirement(no_cache=True))
    if found.value is None:
        raise absent(organization_id)
    return found


def find_if_possible(request: Request, organization_id: UUID) -> Found | None:
    """For the answer to a write that is done: None where it could only be a problem."""
    try:
        return find(request, organization_id)
    except Problem:
        return None


def absent(organization_id: UUID) -> Problem:
    return Problem(
        404,
        type="/problems/organization-not-found",
        title=_("Organization not found"),
        detail=_("There is no organization %(id)s.") % {"id": organization_id},
    )


def _found(organization_id: UUID, wanted: FreshnessRequirement) -> Found:
    if wanted.min_version is not None and not lookup.current().versioned:
        raise Problem(
            412,
            type="/problems/version-not-reached",
            detail=_("The organization service gives no versions to compare with Organization-Min-Version."),
        )
    try:
        return lookup.current().find(str(organization_id), wanted)
    except UpstreamAuthError as refused:
        challenge = {"WWW-Authenticate": refused.challenge} if refused.challenge else {}
        raise Problem(refused.status, headers=challenge) from refused
    except VersionNotReached as not_reached:
        raise Problem(
            412,
            type="/problems/version-not-reached",
            detail=_("The organization has version %(version)d, which is older than Organization-Min-Version.")
            % {"version": not_reached.found.version},
        ) from not_reached
    except FetchFailed as failed:
        raise unavailable(
            _("The organization of the license can't be asked for now."),
            retry_after_s=lookup.current().retry_after_s(),
            type=f"/problems/{failed.cause}" if isinstance(failed, OrganizationLookupError) else None,
        ) from failed
