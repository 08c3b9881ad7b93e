"""The Django app: makes the content type known."""

from django.apps import AppConfig


class CloudEventsConfig(AppConfig):
    name = "event_stream.messaging.cloudevents"
    label = "event_stream_cloudevents"
    verbose_name = "CloudEvents"

    def ready(self) -> None:
        from event_stream.messaging.cloudevents.converter import CloudEventsConverter  # noqa: PLC0415 - not before it is wanted
        from event_stream.messaging.converters import register  # noqa: PLC0415

        register(CloudEventsConverter())
