"""The serializer of organizations."""
# ruff: noqa: N815  (the names of the JSON)

from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from organizations.models import Organization
from organizations.validators import EMAIL_LENGTH, NAME_LENGTH, PHONE_LENGTH, validate_one_line, validate_phone
from service_kit.request_bodies import EmailField, KnownMembersOnly, TextField
from service_kit.uuids import parse_uuid


class OrganizationSerializer(KnownMembersOnly, serializers.Serializer[Organization]):
    """An organization with camelCase names. A PUT empties contact fields that it leaves out."""

    id = serializers.UUIDField(read_only=True, help_text=_("Made by the service."))
    name = TextField(max_length=NAME_LENGTH, validators=[validate_one_line])
    contactName = TextField(
        source="contact_name",
        label=_("Contact name"),
        max_length=NAME_LENGTH,
        allow_blank=True,
        default="",
        validators=[validate_one_line],
    )
    contactEmail = EmailField(
        source="contact_email",
        label=_("Contact e-mail"),
        max_length=EMAIL_LENGTH,
        allow_blank=True,
        default="",
        validators=[validate_one_line],
    )
    contactPhone = TextField(
        source="contact_phone",
        label=_("Contact phone"),
        max_length=PHONE_LENGTH,
        allow_blank=True,
        default="",
        validators=[validate_phone],
    )

    def to_representation(self, instance: Organization) -> dict[str, str]:
        # Written by hand, because the generic code took a tenth of the time of a read.
        return {
            "id": str(instance.pk),
            "name": instance.name,
            "contactName": instance.contact_name,
            "contactEmail": instance.contact_email,
            "contactPhone": instance.contact_phone,
        }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Reject a body whose id differs from the id in the path."""
        body_id = self.initial_data.get("id")
        if self.instance is not None and body_id is not None and not _is_id(body_id, self.instance.pk):
            raise serializers.ValidationError({"id": _("It should be the id of the path, or left out.")})
        return attrs


def _is_id(value: object, id: UUID) -> bool:
    try:
        return parse_uuid(str(value)) == id
    except ValueError:
        return False
