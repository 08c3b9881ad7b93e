"""The Django app of the metrics."""

from django.apps import AppConfig, apps


class MetricsConfig(AppConfig):
    name = "event_stream.metrics"
    label = "event_stream_metrics"
    verbose_name = "Metrics"

    def ready(self) -> None:
        from event_stream.metrics import exposition, probes, receivers  # noqa: PLC0415 - their metrics are made then

        receivers.connect()
        probes.connect()
        if apps.is_installed("event_stream.outbox"):
            from event_stream.metrics.outbox import OutboxSource  # noqa: PLC0415 - its model needs the app

            exposition.register(OutboxSource())
