# ruff: noqa: N815 - the names of fields are those on the wire
"""The JSON of a license: camelCase, with the fields of its organization beside its own."""

from typing import Any

from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from licenses.models import License
from service_kit.request_bodies import KnownMembersOnly, TextField


class LicenseSerializer(KnownMembersOnly, serializers.ModelSerializer[Any]):
    """Checks what comes in; says what goes out, of a License or a LicenseRow.

    `context["organization"]` has the organization's four fields for all that is answered; null without it.
    """

    licenseId = serializers.UUIDField(source="license_id", read_only=True)
    organizationId = serializers.UUIDField(source="organization_id", read_only=True)
    description = TextField(label=capfirst(_("description")), max_length=2000, allow_blank=True, default="")
    productName = TextField(label=capfirst(_("product name")), source="product_name", max_length=200)
    licenseType = TextField(label=capfirst(_("license type")), source="license_type", max_length=100)
    comment = TextField(label=capfirst(_("comment")), max_length=2000, allow_blank=True, default="")
    organizationName = serializers.CharField(read_only=True, allow_null=True, help_text="The organization's name.")
    contactName = serializers.CharField(read_only=True, allow_null=True)
    contactEmail = serializers.EmailField(read_only=True, allow_null=True)
    contactPhone = serializers.CharField(read_only=True, allow_null=True)

    class Meta:
        model = License
        fields = (
            "licenseId",
            "organizationId",
            "description",
            "productName",
            "licenseType",
            "comment",
            "organizationName",
            "contactName",
            "contactEmail",
            "contactPhone",
        )

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return {**super().to_representation(instance), **self.context.get("organization", {})}
