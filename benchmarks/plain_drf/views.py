"""The REST framework's own viewset."""

from django.db.models import QuerySet
from rest_framework.viewsets import ModelViewSet

from benchmarks.plain_drf.models import License
from benchmarks.plain_drf.serializers import LicenseSerializer


class LicenseViewSet(ModelViewSet[License]):
    serializer_class = LicenseSerializer
    lookup_field = "license_id"

    def get_queryset(self) -> QuerySet[License]:
        return License.objects.filter(organization_id=self.kwargs["organization_id"])
