"""The journal in the Django admin: to be read."""

from django.contrib import admin
from django.http import HttpRequest

from journal.models import JournalEntry


@admin.register(JournalEntry)
class JournalEntryAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # not to be subscripted while running
    list_display = ("occurred_at", "action", "organization_id", "version", "user_id", "correlation_id")
    list_filter = ("action",)
    search_fields = ("=organization_id", "=correlation_id", "=event_id", "=user_id")
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: JournalEntry | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: JournalEntry | None = None) -> bool:
        return False
