"""The paths of the REST API, each with and without a slash at its end."""

from django.urls import path

from event_stream.web import paths
from organizations.api.views import OrganizationDetail, OrganizationList

paths.register()

LIST = "v1/organization"
DETAIL = "v1/organization/<any_case_uuid:organization_id>"

urlpatterns = [
    path(LIST, OrganizationList.as_view(), name="organizations"),
    path(DETAIL, OrganizationDetail.as_view(), name="organization"),
    # `schema=None`: once is enough in the OpenAPI document.
    path(f"{LIST}/", OrganizationList.as_view(schema=None)),
    path(f"{DETAIL}/", OrganizationDetail.as_view(schema=None)),
]
