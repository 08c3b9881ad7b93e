"""Licenses over HTTP. Thin: selectors read, services write, organization_lookup finds the organization."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from event_stream.cache import Found
from event_stream.web.conditional import not_modified
from event_stream.web.problem import Problem
from licenses import selectors, services
from licenses.api import answers, links, organizations, schema, tags
from licenses.api.serializers import LicenseSerializer
from licenses.models import License
from organization_lookup import organization


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
        answers.tell_organization(response, request, found)
        answers.tell_tag(response, request, license.version, found)
        return response


class Licenses(LicenseView):
    """The licenses of one organization."""

    name = "Licenses"

    @schema.list_licenses
    def get(self, request: Request, organization_id: UUID) -> HttpResponseBase:
        found = organizations.find(request, organization_id)
        page = self.paginate_queryset(self.get_queryset()) or []
        if found.value is None and not page:
            raise organizations.absent(organization_id)
        context = {**self.get_serializer_context(), "organization": organization.fields(found.value)}
        response = self.get_paginated_response(LicenseSerializer(page, many=True, context=context).data)
        answers.tell_organization(response, request, found)
        return response

    @schema.create_license
    def post(self, request: Request, organization_id: UUID) -> HttpResponseBase:
        fields = self.checked(request)
        found = organizations.find_existing(request, organization_id)
        license = services.create_license(organization_id=organization_id, fields=fields)
        response = self.answer(request, license, found, status=201)
        response.headers["Location"] = links.license_url(request, organization_id, license.license_id)
        return response


class SingleLicense(LicenseView):
    """One license of an organization, with the organization's name and contact."""

    name = "License"

    @schema.get_license
    def get(self, request: Request, organization_id: UUID, license_id: UUID) -> HttpResponseBase:
        row = selectors.read_license(organization_id=organization_id, license_id=license_id)
        if row is None:
            raise _absent(organization_id, license_id)
        found = organizations.find(request, organization_id)
        media = request.accepted_renderer.format
        response: HttpResponseBase
        if not_modified(request, tags.license_tag(row.version, found.version, media)):
            response = HttpResponseNotModified()
        elif media == "json":
            response = answers.json_answer(answers.spliced(row, found.value))
        else:
            return self.answer(request, row, found)
        answers.tell_organization(response, request, found)
        answers.tell_tag(response, request, row.version, found)
        return response

    @schema.update_license
    def put(self, request: Request, organization_id: UUID, license_id: UUID) -> HttpResponseBase:
        return self._update(request, organization_id, license_id, partial=False)

    @schema.patch_license
    def patch(self, request: Request, organization_id: UUID, license_id: UUID) -> HttpResponseBase:
        return self._update(request, organization_id, license_id, partial=True)

    @schema.delete_license
    def delete(self, request: Request, organization_id: UUID, license_id: UUID) -> HttpResponseBase:
        try:
            services.delete_license(
                organization_id=organization_id, license_id=license_id, check=tags.if_match(request)
            )
        except License.DoesNotExist:
            raise _absent(organization_id, license_id) from None
        return Response(status=204)

    def _update(self, request: Request, organization_id: UUID, license_id: UUID, *, partial: bool) -> HttpResponseBase:
        fields = self.checked(request, partial=partial)
        try:
            license = services.update_license(
                organization_id=organization_id, license_id=license_id, fields=fields, check=tags.if_match(request)
            )
        except License.DoesNotExist:
            raise _absent(organization_id, license_id) from None
        return self.answer(request, license, organizations.find_if_possible(request, organization_id))


def _absent(organization_id: UUID, license_id: UUID) -> Problem:
    return Problem(
        404,
        type="/problems/license-not-found",
        title=_("License not found"),
        detail=_("The organization %(organization)s has no license %(license)s.")
        % {"organization": organization_id, "license": license_id},
    )
