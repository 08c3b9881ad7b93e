"""The REST API: `/v1/organization`. Each view reads the request, calls a service or a selector, and responds."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from organizations import selectors, services
from organizations.api import openapi
from organizations.api.openapi import VERSION_HEADER, problems
from organizations.api.serializers import OrganizationSerializer
from organizations.models import Organization
from organizations.validators import validate_one_line
from service_kit import conditional_requests
from service_kit.openapi import OF_A_BODY
from service_kit.problem_details import Problem
from service_kit.searches import validate_search


class OrganizationList(GenericAPIView[Organization]):
    """All organizations, by name, in pages."""

    name = "Organizations"
    serializer_class = OrganizationSerializer
    queryset = selectors.organizations()

    @extend_schema(
        operation_id="organization_list",
        parameters=[openapi.SEARCH, openapi.SENT],
        responses={(200, "application/json"): OrganizationSerializer(many=True), **problems(404, 413)},
    )
    def get(self, request: Request) -> Response:
        """A page of organizations."""
        search = request.query_params.get("search", "")
        try:
            validate_one_line(search)
            validate_search(search)
        except ValidationError as error:
            raise ValidationError({"search": error}) from None
        page = self.paginate_queryset(selectors.organizations(search=search))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        operation_id="organization_create",
        parameters=[openapi.LOCATION, *openapi.OF_A_WRITE],
        responses={201: OrganizationSerializer, **problems(404, 412, *OF_A_BODY)},
    )
    def post(self, request: Request) -> Response:
        """Create an organization. Its id is made by the service; one in the body is passed over."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        conditional_requests.check_preconditions(request, None, exists=True)
        organization = services.create_organization(values=serializer.validated_data)
        location = reverse("organization", [organization.pk], request=request)
        headers = {"Location": location, **_version_headers(organization.version)}
        return Response(self.get_serializer(organization).data, status.HTTP_201_CREATED, headers=headers)


class OrganizationDetail(GenericAPIView[Organization]):
    """One organization."""

    name = "Organization"
    serializer_class = OrganizationSerializer
    queryset = selectors.organizations()

    @extend_schema(
        operation_id="organization_retrieve",
        parameters=[openapi.ID, openapi.IF_MATCH_OF_A_READ, openapi.IF_NONE_MATCH, openapi.SENT, *openapi.TAGS],
        responses={
            200: OrganizationSerializer,
            304: OpenApiResponse(description="It is the one that If-None-Match names."),
            **problems(404, 412, 413),
        },
    )
    def get(self, request: Request, organization_id: uuid.UUID) -> Response:
        """Read an organization."""
        with _absence_as_404(organization_id):
            organization = selectors.organization(organization_id)
        if settings.ORGANIZATION_PUBLISH_READS:
            services.publish_read(organization)
        headers = _version_headers(organization.version)
        if conditional_requests.not_modified(request, organization.version):
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers=headers)
        return Response(self.get_serializer(organization).data, headers=headers)

    @extend_schema(
        operation_id="organization_update",
        parameters=[openapi.ID, *openapi.OF_A_WRITE],
        responses={200: OrganizationSerializer, **problems(404, 412, *OF_A_BODY)},
    )
    def put(self, request: Request, organization_id: uuid.UUID) -> Response:
        """Replace an organization: what the body leaves out is emptied."""
        return self._update(request, organization_id, whole=True)

    @extend_schema(
        operation_id="organization_partial_update",
        parameters=[openapi.ID, *openapi.OF_A_WRITE],
        responses={200: OrganizationSerializer, **problems(404, 412, *OF_A_BODY)},
    )
    def patch(self, request: Request, organization_id: uuid.UUID) -> Response:
        """Change some fields of an organization: what the body leaves out stays."""
        return self._update(request, organization_id, whole=False)

    @extend_schema(
        operation_id="organization_delete",
        parameters=[openapi.ID, *openapi.OF_A_WRITE],
        responses={204: None, **problems(404, 412, *OF_A_BODY)},
    )
    def delete(self, request: Request, organization_id: uuid.UUID) -> Response:
        """Delete an organization."""
        with _absence_as_404(organization_id):
            version = services.delete_organization(
                organization_id=organization_id, guard=partial(conditional_requests.check_preconditions, request)
            )
        return Response(status=status.HTTP_204_NO_CONTENT, headers={VERSION_HEADER: str(version)})

    def _update(self, request: Request, organization_id: uuid.UUID, *, whole: bool) -> Response:
        serializer = self.get_serializer(Organization(pk=organization_id), data=request.data, partial=not whole)
        serializer.is_valid(raise_exception=True)
        values = serializer.validated_data
        with _absence_as_404(organization_id):
            if whole and not conditional_requests.has_preconditions(request):
                organization = services.replace_organization(organization_id=organization_id, values=values)
            else:
                organization = services.update_organization(
                    organization_id=organization_id,
                    values=values,
                    guard=partial(conditional_requests.check_preconditions, request),
                )
        return Response(self.get_serializer(organization).data, headers=_version_headers(organization.version))


def _version_headers(version: int) -> dict[str, str]:
    # Caches may store the response, but have to revalidate it.
    return {
        "ETag": conditional_requests.etag(version),
        VERSION_HEADER: str(version),
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization, Cookie",
    }


@contextmanager
def _absence_as_404(organization_id: uuid.UUID) -> Iterator[None]:
    """Respond 404 for a missing organization, with the version of its absence."""
    try:
        yield
    except Organization.DoesNotExist:
        version = selectors.absence_version(organization_id)
        raise Problem(404, detail=_("There is no such organization."), headers={VERSION_HEADER: str(version)}) from None
