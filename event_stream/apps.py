"""The Django app: nothing but its system checks."""

from django.apps import AppConfig
from django.core.checks import register


class EventStreamConfig(AppConfig):
    name = "event_stream"
    label = "event_stream"
    verbose_name = "Event stream"

    def ready(self) -> None:
        from event_stream.checks import check_setting  # noqa: PLC0415 - not before the settings are there

        register(check_setting)
