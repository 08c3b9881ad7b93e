"""Licenses in the Django admin."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from licenses.models import License

admin.site.site_header = admin.site.site_title = _("Licensing service")
admin.site.index_title = _("Administration")


@admin.register(License)
class LicenseAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # not to be subscripted while running
    list_display = ("product_name", "license_type", "organization_id", "license_id")
    list_filter = ("license_type", "product_name")
    search_fields = ("product_name", "license_type", "description", "=license_id", "=organization_id")
    readonly_fields = ("license_id", "version")
    fields = (
        "license_id",
        "organization_id",
        "product_name",
        "license_type",
        "description",
        "comment",
        "version",
    )
    list_per_page = 50
    show_full_result_count = False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """A license doesn't change hands: its organization is part of its address."""
        return (*self.readonly_fields, "organization_id") if obj else self.readonly_fields
