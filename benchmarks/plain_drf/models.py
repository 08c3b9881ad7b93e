"""The licensing service's own table."""

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
