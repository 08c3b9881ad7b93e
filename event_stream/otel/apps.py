from django.apps import AppConfig

from event_stream.otel import traces_are_wanted


class OtelConfig(AppConfig):
    name = "event_stream.otel"
    label = "event_stream_otel"
    verbose_name = "OpenTelemetry"

    def ready(self) -> None:
        if traces_are_wanted():
            # What nobody asked for is not even imported.
            from event_stream.otel.instrumentation import Instrumentation  # noqa: PLC0415

            self.instrumentation = Instrumentation()
            self.instrumentation.connect()
