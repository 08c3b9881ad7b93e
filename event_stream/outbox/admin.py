"""The read-only admin of the outbox."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.timezone import localtime

from event_stream.admin_links import trace_link
from event_stream.outbox.models import PARKED, UNSENT, OutboxEntry
from event_stream.outbox.parked import send_again

# Generic for the type checker only: Django's own class takes no parameter.
if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[OutboxEntry]
else:
    ModelAdmin = admin.ModelAdmin

STATES = {
    "unsent": UNSENT,
    "published": Q(published_at__isnull=False),
    "parked": PARKED,
}


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(
        self,
        request: HttpRequest,
        model_admin: ModelAdmin,
    ) -> list[tuple[str, str]]:
        return [(state, state) for state in STATES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[OutboxEntry]) -> QuerySet[OutboxEntry]:
        state = self.value()
        return queryset.filter(STATES[state]) if state in STATES else queryset


class TriggerFilter(admin.BooleanFieldListFilter):
    """Filters by whether a trigger had to add the entry."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The page puts "By" in front of the title.
        self.title = "trigger"


@admin.register(OutboxEntry)
class OutboxEntryAdmin(ModelAdmin):
    list_display = ["id", "key", "version", "written", "state", "partition", "offset"]
    list_filter = [StateFilter, ("by_trigger", TriggerFilter)]
    # The form shows non-editable fields only if they are listed here.
    readonly_fields = ["written_at", "trace"]
    # Exact lookups use an index: the table may be large.
    search_fields = ["correlation_id__exact", "key__exact"]
    search_help_text = "A whole correlation id or key"
    show_full_result_count = False
    ordering = ["-id"]
    actions = ["send_again"]

    @admin.action(description="Send selected parked entries again", permissions=["send"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[OutboxEntry]) -> None:
        """Unpark entries once the cause is fixed; the relay looks at the table once a second."""
        count = send_again(queryset)
        text = f"{count} parked {'entry is' if count == 1 else 'entries are'} to be sent again; others are left alone."
        self.message_user(request, text, messages.SUCCESS if count else messages.WARNING)

    def has_send_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("event_stream_outbox.change_outboxentry")

    @admin.display(description="trace")
    def trace(self, entry: OutboxEntry) -> str:
        return trace_link(entry.correlation_id)

    @admin.display(description="written at", ordering="written_at")
    def written(self, entry: OutboxEntry) -> str:
        return f"{localtime(entry.written_at):%Y-%m-%d %H:%M:%S}"

    @admin.display(description="state")
    def state(self, entry: OutboxEntry) -> str:
        if entry.published_at:
            return "published"
        return "parked" if entry.parked_at else "unsent"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: OutboxEntry | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: OutboxEntry | None = None) -> bool:
        return False
