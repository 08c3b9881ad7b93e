"""The paths of the REST API, each with and without a trailing slash."""

from django.urls import path

from organizations.api.views import OrganizationDetail, OrganizationList
from service_kit import urls

urls.register()

LIST = "v1/organization"
DETAIL = "v1/organization/<any_case_uuid:organization_id>"

# Both forms share one view: the browsable API would list two views as two pages.
_organizations, _organization = OrganizationList.as_view(), OrganizationDetail.as_view()

urlpatterns = [
    path(LIST, _organizations, name="organizations"),
    path(DETAIL, _organization, name="organization"),
    path(f"{LIST}/", _organizations),
    path(f"{DETAIL}/", _organization),
]
