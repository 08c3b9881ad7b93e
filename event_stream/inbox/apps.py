"""The Django app of the inbox."""

from django.apps import AppConfig


class InboxConfig(AppConfig):
    name = "event_stream.inbox"
    label = "event_stream_inbox"
    verbose_name = "Inbox"
    default_auto_field = "django.db.models.BigAutoField"
