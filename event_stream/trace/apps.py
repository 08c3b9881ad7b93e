"""The Django app of the trace."""

from django.apps import AppConfig


class TraceConfig(AppConfig):
    name = "event_stream.trace"
    label = "event_stream_trace"
    verbose_name = "Trace"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from event_stream.trace import recording  # noqa: PLC0415 - models are ready only now

        recording.connect()
