"""The Django app of the outbox."""

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    name = "event_stream.outbox"
    label = "event_stream_outbox"
    verbose_name = "Outbox"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from event_stream.outbox import checks  # noqa: F401, PLC0415  (registers them)
