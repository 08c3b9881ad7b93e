"""The Django app of the operations pages."""

from django.apps import AppConfig, apps

from event_stream import signals
from event_stream.consumer.pauses import keep_pauses


class OperationsConfig(AppConfig):
    name = "event_stream.operations"
    label = "event_stream_operations"
    verbose_name = "Event stream"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Models are not there before.
        from event_stream.operations.pauses import known_pauses  # noqa: PLC0415
        from event_stream.operations.settings import operations_settings  # noqa: PLC0415

        keep_pauses(known_pauses)
        if operations_settings().reports:
            _connect()


def _connect() -> None:
    from event_stream.operations import workers  # noqa: PLC0415

    signals.worker_polled.connect(workers.on_polled)
    signals.batch_handled.connect(workers.on_batch_handled)
    signals.worker_stopped.connect(workers.on_stopped)
    if apps.is_installed("event_stream.outbox"):
        from event_stream.operations import relays  # noqa: PLC0415

        signals.relay_polled.connect(relays.on_polled)
        signals.entries_published.connect(relays.on_published)
        signals.entry_parked.connect(relays.on_parked)
