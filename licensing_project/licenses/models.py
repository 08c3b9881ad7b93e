"""A license that an organization holds."""

import uuid
from collections.abc import Collection

from django.db import models
from django.utils.translation import gettext_lazy as _

from event_stream.outbox.triggers import Versioned
from service_kit.text import normalize_fields


class License(models.Model):
    """The organization is another service's: its id is kept as a value, and nothing here proves that it exists."""

    license_id = models.UUIDField(_("license id"), primary_key=True, default=uuid.uuid4, editable=False)
    organization_id = models.UUIDField(_("organization id"))
    description = models.TextField(_("description"), max_length=2000, blank=True, default="")
    product_name = models.CharField(_("product name"), max_length=200)
    license_type = models.CharField(_("license type"), max_length=100)
    comment = models.TextField(_("comment"), max_length=2000, blank=True, default="")
    # Written by the database, whatever path a change takes.
    version = models.BigIntegerField(_("version"), default=0, editable=False)

    class Meta:
        verbose_name = _("license")
        verbose_name_plural = _("licenses")
        ordering = ["organization_id", "product_name", "license_id"]
        indexes = [
            models.Index(fields=["organization_id", "product_name", "license_id"], name="license_of_organization")
        ]
        triggers = [Versioned(field="version")]

    def __str__(self) -> str:
        return self.product_name

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        normalize_fields(self)
        super().clean_fields(exclude)
