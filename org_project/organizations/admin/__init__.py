"""The admin of organizations: every write in it emits, by the model or by the queryset."""

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from organizations.admin import actions
from organizations.admin.events import event_table
from organizations.admin.forms import OrganizationForm
from organizations.models import Organization

# Generic for the type checker only: Django's own class takes no parameter.
if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Organization]
else:
    ModelAdmin = admin.ModelAdmin

admin.site.site_header = admin.site.site_title = _("Organization service")
admin.site.index_title = _("Administration")


@admin.register(Organization)
class OrganizationAdmin(ModelAdmin):
    form = OrganizationForm
    list_display = ("name", "contact_name", "contact_email", "contact_phone", "id")
    search_fields = ("name", "contact_name", "contact_email", "contact_phone", "id__startswith")
    search_help_text = _("Words of the name or of the contact, or the beginning of the id")
    list_filter = (
        ("contact_name", admin.EmptyFieldListFilter),
        ("contact_email", admin.EmptyFieldListFilter),
        ("contact_phone", admin.EmptyFieldListFilter),
    )
    list_per_page = 50
    readonly_fields = ("id", "version", "latest_events")
    actions = (actions.set_contact, actions.publish_again, actions.export_csv)
    fieldsets: ClassVar = (
        (None, {"fields": ("name", "seen_version")}),
        (_("Contact"), {"fields": ("contact_name", "contact_email", "contact_phone")}),
        (_("Publication"), {"fields": ("id", "version", "latest_events")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Organization | None = None) -> Any:
        """A new organization has nothing published yet."""
        return self.fieldsets if obj else self.fieldsets[:2]

    @admin.display(description=_("latest events"))
    def latest_events(self, organization: Organization) -> SafeString:
        return event_table(organization.pk)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Organization]) -> None:
        """The queryset's own, which locks the rows and emits."""
        queryset.order_by().delete()
