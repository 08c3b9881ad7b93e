"""The REST framework's own viewsets."""

from django.db.models import QuerySet
from rest_framework.viewsets import ModelViewSet

from benchmarks.plain_drf.models import License, Organization
from benchmarks.plain_drf.serializers import LicenseSerializer, OrganizationSerializer


class LicenseViewSet(ModelViewSet[License]):
    serializer_class = LicenseSerializer
    lookup_field = "license_id"

    def get_queryset(self) -> QuerySet[License]:
        return License.objects.filter(organization_id=self.kwargs["organization_id"])


class OrganizationViewSet(ModelViewSet[Organization]):
    serializer_class = OrganizationSerializer
    queryset = Organization.objects.all()
    lookup_url_kwarg = "organization_id"
