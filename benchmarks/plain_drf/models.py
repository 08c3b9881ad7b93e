"""The licensing service's own table, and one of organizations that nobody is told of."""

import uuid
from typing import ClassVar

from django.db import models


class License(models.Model):
    """Read only here."""

    license_id = models.UUIDField(primary_key=True)
    organization_id = models.UUIDField()
    description = models.TextField(max_length=2000, blank=True, default="")
    product_name = models.CharField(max_length=200)
    license_type = models.CharField(max_length=100)
    comment = models.TextField(max_length=2000, blank=True, default="")

    objects: ClassVar[models.Manager["License"]] = models.Manager()

    class Meta:
        app_label = "plain_drf"
        managed = False
        db_table = "licenses_license"

    def __str__(self) -> str:
        return self.product_name


class Organization(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=200)
    contact_name = models.CharField(max_length=200, blank=True, default="")
    contact_email = models.EmailField(blank=True, default="")
    contact_phone = models.CharField(max_length=50, blank=True, default="")

    objects: ClassVar[models.Manager["Organization"]] = models.Manager()

    class Meta:
        app_label = "plain_drf"
        managed = False
        db_table = "plain_organization"

    def __str__(self) -> str:
        return self.name
