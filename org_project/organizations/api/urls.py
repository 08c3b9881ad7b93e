"""The paths of the REST API, each with and without a slash at its end."""

import uuid

from django.urls import path, register_converter

from organizations.api.views import OrganizationDetail, OrganizationList


class AnyCaseUUID:
    """Like Django's own, which takes lower case only."""

    regex = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"

    def to_python(self, value: str) -> uuid.UUID:
        return uuid.UUID(value)

    def to_url(self, value: object) -> str:
        return str(value)


register_converter(AnyCaseUUID, "any_case_uuid")

LIST = "v1/organization"
DETAIL = "v1/organization/<any_case_uuid:organization_id>"

urlpatterns = [
    path(LIST, OrganizationList.as_view(), name="organizations"),
    path(DETAIL, OrganizationDetail.as_view(), name="organization"),
    # `schema=None`: once is enough in the OpenAPI document.
    path(f"{LIST}/", OrganizationList.as_view(schema=None)),
    path(f"{DETAIL}/", OrganizationDetail.as_view(schema=None)),
]
