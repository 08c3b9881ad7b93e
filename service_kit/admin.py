"""Deleting any number of rows in the admin: with "select all" Django's action holds them all, and a field for each.

Django imports this module with the other modules `admin` and so replaces the action in each list.
"""

from collections.abc import Iterator
from typing import Any, cast

from axes.admin import AccessAttemptAdmin
from django.contrib import admin, messages
from django.contrib.admin import actions
from django.contrib.admin.utils import model_ngettext
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext, gettext_lazy

from event_stream.admin_selection import AdminSelection

CHUNK = 1_000
SHOWN = 100
CHANGED_MEANWHILE = gettext_lazy("Nothing was done: the filter finds another number of them by now.")


@admin.action(permissions=["delete"], description=gettext_lazy("Delete selected %(verbose_name_plural)s"))
def delete_selected(model_admin: Any, request: HttpRequest, queryset: QuerySet[Model]) -> TemplateResponse | None:
    """Delete all rows or none, in the order of their keys, after a page that shows the first of them."""
    selection = AdminSelection.of(request)
    if not selection.is_all:
        return actions.delete_selected(model_admin, request, queryset)
    count = queryset.count()
    if "post" in request.POST and selection.is_as_shown(count):
        deleted = _delete(model_admin, request, queryset)
        text = gettext("Successfully deleted %(count)d %(items)s.")
        items = model_ngettext(model_admin.opts, deleted)
        model_admin.message_user(request, text % {"count": deleted, "items": items}, messages.SUCCESS)
        return None
    if "post" in request.POST:
        model_admin.message_user(request, CHANGED_MEANWHILE, messages.WARNING)
        # Django's action asks once more.
        asked = request.POST.copy()
        del asked["post"]
        request.POST = asked  # type: ignore[assignment] # Django sets a mutable one itself
    first = next(_chunks(queryset, SHOWN), queryset.none())
    page = cast(TemplateResponse, actions.delete_selected(model_admin, request, first))
    page.template_name = "service_kit/delete_all_confirmation.html"
    page.context_data |= {  # type: ignore[operator]
        "objects_name": str(model_ngettext(model_admin.opts, count)),
        "count": count,
        "more": max(0, count - SHOWN),
        "hidden_fields": selection.fields(count),
    }
    return page


def _delete(model_admin: Any, request: HttpRequest, queryset: QuerySet[Model]) -> int:
    deleted = 0
    with transaction.atomic():
        for chunk in _chunks(queryset, CHUNK):
            _, _, perms_needed, protected = model_admin.get_deleted_objects(chunk, request)
            if perms_needed or protected:
                raise PermissionDenied
            # Before the first deletion: the person at the page may be among those deleted.
            model_admin.log_deletions(request, chunk)
        for chunk in _chunks(queryset, CHUNK):
            deleted += chunk.count()
            model_admin.delete_queryset(request, chunk)
    return deleted


def _chunks(queryset: QuerySet[Model], size: int) -> Iterator[QuerySet[Model]]:
    """The rows in the order of their keys. Deleting a chunk does not change the later ones."""
    rows = queryset.order_by("pk")
    ids = list(rows.values_list("pk", flat=True)[:size])
    while ids:
        yield queryset.model._default_manager.filter(pk__in=ids).order_by("pk")
        ids = list(rows.filter(pk__gt=ids[-1]).values_list("pk", flat=True)[:size])


admin.site.add_action(delete_selected, "delete_selected")
# An error for any request but a login (django-axes 8.3.1). Expired attempts are deleted at the next login.
AccessAttemptAdmin.actions = ()
