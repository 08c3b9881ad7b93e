"""The paths of the REST API, each with and without a slash at its end."""

from django.urls import path

from organizations.api.views import OrganizationDetail, OrganizationList
from service_kit import urls

urls.register()

LIST = "v1/organization"
DETAIL = "v1/organization/<any_case_uuid:organization_id>"

# One view for both forms: the browsable API takes two for two pages, and shows the way to each.
_organizations, _organization = OrganizationList.as_view(), OrganizationDetail.as_view()

urlpatterns = [
    path(LIST, _organizations, name="organizations"),
    path(DETAIL, _organization, name="organization"),
    path(f"{LIST}/", _organizations),
    path(f"{DETAIL}/", _organization),
]
