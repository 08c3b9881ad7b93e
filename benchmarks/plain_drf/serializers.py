# ruff: noqa: N815 - the names of fields are those on the wire
"""A license with its organization's fields, and an organization."""

from typing import Any

from rest_framework import serializers

from benchmarks.plain_drf import organizations
from benchmarks.plain_drf.models import License, Organization


class LicenseSerializer(serializers.ModelSerializer[License]):
    licenseId = serializers.UUIDField(source="license_id", read_only=True)
    organizationId = serializers.UUIDField(source="organization_id", read_only=True)
    productName = serializers.CharField(source="product_name", max_length=200)
    licenseType = serializers.CharField(source="license_type", max_length=100)

    class Meta:
        model = License
        fields = ("licenseId", "organizationId", "description", "productName", "licenseType", "comment")

    def to_representation(self, instance: License) -> dict[str, Any]:
        return {**super().to_representation(instance), **organizations.find(instance.organization_id)}


class OrganizationSerializer(serializers.ModelSerializer[Organization]):
    contactName = serializers.CharField(source="contact_name", max_length=200)
    contactEmail = serializers.EmailField(source="contact_email")
    contactPhone = serializers.CharField(source="contact_phone", max_length=50)

    class Meta:
        model = Organization
        fields = ("id", "name", "contactName", "contactEmail", "contactPhone")
