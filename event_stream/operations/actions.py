"""The record of what people did on the operations pages: Django's LogEntry."""

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet

from event_stream.operations.models import Operations

_SHOWN = 10


def log_action(user_id: int | None, target: str, text: str) -> None:
    """Write down what a person did, and to what."""
    LogEntry.objects.create(
        user_id=user_id,
        content_type=ContentType.objects.get_for_model(Operations),
        object_id=target,
        object_repr=target[:200],
        action_flag=CHANGE,
        change_message=text,
    )


def last_actions() -> QuerySet[LogEntry]:
    """Return the latest, with their users."""
    of_pages = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(Operations))
    return of_pages.select_related("user").order_by("-action_time")[:_SHOWN]
