"""The URLs of the two services."""

from django.urls import path

from benchmarks.plain_drf.views import LicenseViewSet, OrganizationViewSet

urlpatterns = [
    path(
        "v1/organization/<uuid:organization_id>/license/<uuid:license_id>",
        LicenseViewSet.as_view({"get": "retrieve", "put": "update", "patch": "partial_update", "delete": "destroy"}),
    ),
    path(
        "v1/organization/<uuid:organization_id>",
        OrganizationViewSet.as_view({"get": "retrieve", "put": "update"}),
    ),
]
