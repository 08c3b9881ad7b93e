"""Licenses in the Django admin."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from event_stream.fenced_cache import FetchFailed
from licenses.api.views import absent
from licenses.models import License
from licenses.services import delete_licenses
from organization_lookup import lookup
from organization_lookup.client import UpstreamAuthError
from service_kit.text import NormalizedSearch

admin.site.site_header = admin.site.site_title = _("Licensing service")
admin.site.index_title = _("Administration")


# Generic for the type checker only: Django's own classes take no parameter.
if TYPE_CHECKING:
    ModelForm = forms.ModelForm[License]
else:
    ModelForm = forms.ModelForm


class LicenseForm(ModelForm):
    """Like the API: no lost update (If-Match there), and no new license for an organization that isn't there."""

    seen_version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    class Meta:
        model = License
        fields = ("organization_id", "product_name", "license_type", "description", "comment")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            self.fields["seen_version"].initial = self.instance.version

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self.instance._state.adding:
            if organization_id := cleaned.get("organization_id"):
                try:
                    exists = lookup.current().exists(str(organization_id))
                except (FetchFailed, UpstreamAuthError):
                    raise ValidationError(
                        gettext("The organization of the license can't be asked for now."), code="unavailable"
                    ) from None
                if not exists:
                    self.add_error("organization_id", str(absent(organization_id).detail))
            return cleaned
        # The admin's view is one transaction: the row stays locked until it is saved.
        rows = License.objects.select_for_update().filter(pk=self.instance.pk)
        if rows.values_list("version", flat=True).first() != cleaned.get("seen_version"):
            raise ValidationError(
                gettext("Somebody else has changed this license since you opened it. Open it again."),
                code="changed_meanwhile",
            )
        return cleaned


@admin.register(License)
class LicenseAdmin(NormalizedSearch, admin.ModelAdmin):  # type: ignore[type-arg] # not to be subscripted while running
    form = LicenseForm
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
        "seen_version",
    )
    list_per_page = 50
    show_full_result_count = False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """A license doesn't change hands: its organization is part of its address."""
        return (*self.readonly_fields, "organization_id") if obj else self.readonly_fields

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[License]) -> None:
        delete_licenses(queryset)
