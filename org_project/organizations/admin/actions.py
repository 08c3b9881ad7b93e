"""What the admin does with several organizations at once."""

import csv
from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from organizations.admin.forms import ContactForm
from organizations.models import Organization
from organizations.querysets import OrganizationQuerySet

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Organization]

CSV_COLUMNS = {
    "id": "id",
    "name": "name",
    "contactName": "contact_name",
    "contactEmail": "contact_email",
    "contactPhone": "contact_phone",
}
"""What `import_organizations` reads, so that an export can be changed and taken in again."""


@admin.action(description=_("Set the contact of selected organizations"), permissions=["change"])
def set_contact(
    model_admin: "ModelAdmin", request: HttpRequest, queryset: QuerySet[Organization]
) -> HttpResponse | None:
    """Asks for the contact on a page of its own, then writes it to all of them in one transaction."""
    form = ContactForm(request.POST if "apply" in request.POST else None)
    if form.is_valid():
        given = {field: value for field, value in form.cleaned_data.items() if value}
        _report(model_admin, request, _selected(queryset).update(**given))
        return None
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Set the contact"),
        "opts": model_admin.model._meta,
        "form": form,
        "selected": request.POST.getlist(helpers.ACTION_CHECKBOX_NAME),
        "select_across": request.POST.get("select_across", "0"),
        "count": queryset.count(),
        "checkbox_name": helpers.ACTION_CHECKBOX_NAME,
        "action": set_contact.__name__,
    }
    return TemplateResponse(request, "admin/organizations/organization/set_contact.html", context)


@admin.action(description=_("Publish selected organizations again"), permissions=["change"])
def publish_again(model_admin: "ModelAdmin", request: HttpRequest, queryset: QuerySet[Organization]) -> None:
    """A new version with the same content: whoever keeps a copy fetches it anew."""
    _report(model_admin, request, _selected(queryset).update(name=F("name")))


@admin.action(description=_("Export selected organizations as CSV"), permissions=["view"])
def export_csv(_model_admin: "ModelAdmin", _request: HttpRequest, queryset: QuerySet[Organization]) -> HttpResponse:
    response = HttpResponse(
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="organizations.csv"'},
    )
    writer = csv.writer(response)
    writer.writerow(CSV_COLUMNS)
    writer.writerows(queryset.values_list(*CSV_COLUMNS.values()).iterator())
    return response


def _selected(queryset: QuerySet[Organization]) -> OrganizationQuerySet:
    """The same rows without what the list needs to show them."""
    return Organization.objects.filter(pk__in=queryset.order_by().values("pk"))


def _report(model_admin: "ModelAdmin", request: HttpRequest, count: int) -> None:
    text = ngettext("%(count)d organization was changed.", "%(count)d organizations were changed.", count)
    model_admin.message_user(request, text % {"count": count}, messages.SUCCESS)
