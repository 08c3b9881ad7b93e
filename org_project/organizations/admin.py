"""The admin of organizations: forms, actions, and the latest events. Every write emits its event."""

import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from event_stream.admin_links import trace_link
from event_stream.admin_selection import AdminSelection
from event_stream.outbox.models import OutboxEntry
from organizations import events
from organizations.models import Organization
from organizations.querysets import OrganizationQuerySet
from organizations.validators import EMAIL_LENGTH, NAME_LENGTH, PHONE_LENGTH, validate_one_line, validate_phone
from service_kit.admin import CHANGED_MEANWHILE
from service_kit.csv_text import write_csv
from service_kit.text import NormalizedSearch, normalized
from service_kit.versioned_form import VersionedForm

# Generic for the type checker only: Django's own class takes no parameter.
if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Organization]
else:
    ModelAdmin = admin.ModelAdmin

LATEST = 10
LICENSES_STAY = _(
    "The licenses of a deleted organization stay in the licensing service, and go on without its name and contact."
)

CSV_COLUMNS = {
    "id": "id",
    "name": "name",
    "contactName": "contact_name",
    "contactEmail": "contact_email",
    "contactPhone": "contact_phone",
}
"""The columns that `import_organizations` reads, so that an edited export can be imported again."""


class OrganizationForm(VersionedForm):
    changed_meanwhile = _("Somebody else has changed this organization since you opened it. Open it again.")

    class Meta:
        model = Organization
        fields = ("name", "contact_name", "contact_email", "contact_phone")


class ContactForm(forms.Form):
    """A contact for several organizations; empty fields stay unchanged."""

    contact_name = forms.CharField(
        label=_("Contact name"), max_length=NAME_LENGTH, required=False, validators=[validate_one_line]
    )
    contact_email = forms.EmailField(
        label=_("Contact e-mail"), max_length=EMAIL_LENGTH, required=False, validators=[validate_one_line]
    )
    contact_phone = forms.CharField(
        label=_("Contact phone"), max_length=PHONE_LENGTH, required=False, validators=[validate_phone]
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        cleaned.update({field: normalized(value) for field, value in cleaned.items()})
        if not self.errors and not any(cleaned.values()):
            raise ValidationError(gettext("Fill in at least one of them."), code="nothing_to_do")
        return cleaned


@admin.action(description=_("Set the contact of selected organizations"), permissions=["change"])
def set_contact(
    model_admin: "ModelAdmin", request: HttpRequest, queryset: QuerySet[Organization]
) -> HttpResponse | None:
    """Ask for the contact on a separate page, then write it to all of them in one transaction."""
    form = ContactForm(request.POST if "apply" in request.POST else None)
    selection, count = AdminSelection.of(request), queryset.count()
    if form.is_valid() and not selection.is_as_shown(count):
        model_admin.message_user(request, CHANGED_MEANWHILE, messages.WARNING)
    elif form.is_valid():
        values = {field: value for field, value in form.cleaned_data.items() if value}
        _report(model_admin, request, _selected(queryset).update(**values))
        return None
    context = {
        **model_admin.admin_site.each_context(request),
        "title": gettext("Set the contact"),
        "opts": model_admin.model._meta,
        "form": form,
        "count": count,
        "hidden_fields": selection.fields(count),
        "action": set_contact.__name__,
    }
    return TemplateResponse(request, "admin/organizations/organization/set_contact.html", context)


@admin.action(description=_("Publish selected organizations again"), permissions=["change"])
def publish_again(model_admin: "ModelAdmin", request: HttpRequest, queryset: QuerySet[Organization]) -> None:
    """A new version with the same content: every cache fetches it again."""
    _report(model_admin, request, _selected(queryset).update(name=F("name")))


@admin.action(description=_("Export selected organizations as CSV"), permissions=["view"])
def export_csv(_model_admin: "ModelAdmin", _request: HttpRequest, queryset: QuerySet[Organization]) -> HttpResponse:
    response = HttpResponse(
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="organizations.csv"'},
    )
    write_csv(response, [CSV_COLUMNS])
    write_csv(response, queryset.values_list(*CSV_COLUMNS.values()).iterator())
    return response


def _selected(queryset: QuerySet[Organization]) -> OrganizationQuerySet:
    """Return the same rows without the annotations and ordering of the list."""
    return Organization.objects.filter(pk__in=queryset.order_by().values("pk"))


def _report(model_admin: "ModelAdmin", request: HttpRequest, count: int) -> None:
    text = ngettext("%(count)d organization was changed.", "%(count)d organizations were changed.", count)
    model_admin.message_user(request, text % {"count": count}, messages.SUCCESS)


def event_table(organization_id: uuid.UUID) -> SafeString:
    """Render the latest events and their positions; each correlation id links to its trace."""
    entries = OutboxEntry.objects.filter(binding=events.BINDING, key=str(organization_id)).order_by("-id")[:LATEST]
    rows = format_html_join(
        "",
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        (
            (
                f"{localtime(entry.written_at):%Y-%m-%d %H:%M:%S}",
                entry.payload.get("action", ""),
                entry.version or "",
                _state(entry),
                trace_link(entry.correlation_id),
            )
            for entry in entries
        ),
    )
    heads = format_html_join(
        "", "<th>{}</th>", ((head,) for head in (_("written"), _("action"), _("version"), _("state"), _("correlation")))
    )
    return format_html("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>", heads, rows)


def _state(entry: OutboxEntry) -> str:
    if entry.published_at:
        return gettext("published: partition %(partition)s, offset %(offset)s") % {
            "partition": entry.partition,
            "offset": entry.offset,
        }
    return gettext("parked: %(error)s") % {"error": entry.error} if entry.parked_at else gettext("waiting")


admin.site.site_header = admin.site.site_title = _("Organization service")
admin.site.index_title = _("Administration")


@admin.register(Organization)
class OrganizationAdmin(NormalizedSearch, ModelAdmin):
    form = OrganizationForm
    list_display = ("name", "contact_name", "contact_email", "contact_phone", "id")
    search_fields = ("name", "contact_name", "contact_email", "contact_phone", "id__istartswith")
    search_help_text = _("Words of the name or of the contact, or the beginning of the id")
    list_filter = (
        ("contact_name", admin.EmptyFieldListFilter),
        ("contact_email", admin.EmptyFieldListFilter),
        ("contact_phone", admin.EmptyFieldListFilter),
    )
    list_per_page = 50
    readonly_fields = ("id", "version", "latest_events")
    actions = (set_contact, publish_again, export_csv)
    fieldsets: ClassVar = (
        (None, {"fields": ("name", "seen_version")}),
        (_("Contact"), {"fields": ("contact_name", "contact_email", "contact_phone")}),
        (_("Publication"), {"fields": ("id", "version", "latest_events")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Organization | None = None) -> Any:
        """Leave out the publication of a new organization."""
        return self.fieldsets if obj else self.fieldsets[:2]

    @admin.display(description=_("latest events"))
    def latest_events(self, organization: Organization) -> SafeString:
        return event_table(organization.pk)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Say on each page that asks before deleting what becomes of the licenses, which are another service's."""
        if "post" not in request.POST:
            self.message_user(request, LICENSES_STAY, messages.WARNING)
        return super().get_deleted_objects(objs, request)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Organization]) -> None:
        """Use the queryset's method, which locks the rows and emits events."""
        queryset.order_by().delete()
