"""Licenses in the Django admin."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from event_stream.admin_links import changes_link
from event_stream.fenced_cache import FetchFailed
from licenses.api.views import absent
from licenses.models import License
from licenses.services import delete_licenses
from organization_lookup import lookup
from organization_lookup.client import UpstreamAuthError
from service_kit.text import NormalizedSearch
from service_kit.versioned_form import VersionedForm

admin.site.site_header = admin.site.site_title = _("Licensing service")
admin.site.index_title = _("Administration")


class LicenseForm(VersionedForm):
    """Like the API: no lost update, and no new license for an organization that isn't there."""

    changed_meanwhile = _("Somebody else has changed this license since you opened it. Open it again.")

    class Meta:
        model = License
        fields = ("organization_id", "product_name", "license_type", "description", "comment")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        organization_id = cleaned.get("organization_id")
        if self.instance._state.adding and organization_id:
            try:
                exists = lookup.current().exists(str(organization_id))
            except (FetchFailed, UpstreamAuthError):
                raise ValidationError(
                    gettext("The organization of the license can't be asked for now."), code="unavailable"
                ) from None
            if not exists:
                self.add_error("organization_id", str(absent(organization_id).detail))
        return cleaned


@admin.register(License)
class LicenseAdmin(NormalizedSearch, admin.ModelAdmin):  # type: ignore[type-arg] # not to be subscripted while running
    form = LicenseForm
    list_display = ("product_name", "license_type", "organization_id", "license_id")
    list_filter = ("license_type", "product_name")
    search_fields = ("product_name", "license_type", "description", "=license_id", "=organization_id")
    readonly_fields = ("license_id", "version", "changes")
    fields = (
        "license_id",
        "organization_id",
        "product_name",
        "license_type",
        "description",
        "comment",
        "version",
        "changes",
        "seen_version",
    )
    list_per_page = 50
    show_full_result_count = False

    @admin.display(description=_("changes of the organization"))
    def changes(self, license: License) -> str:
        return changes_link(str(license.organization_id), gettext("traces")) if license.organization_id else "-"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """A license doesn't change hands: its organization is part of its address."""
        return (*self.readonly_fields, "organization_id") if obj else self.readonly_fields

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[License]) -> None:
        delete_licenses(queryset)
