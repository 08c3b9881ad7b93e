"""The Django app of the outbox."""

from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured


class OutboxConfig(AppConfig):
    name = "event_stream.outbox"
    label = "event_stream_outbox"
    verbose_name = "Outbox"
    default_auto_field = "django.db.models.BigAutoField"

    def import_models(self) -> None:
        # Without pgtrigger, Django rejects `Meta.triggers` before any system check can run.
        if "pgtrigger" not in apps.app_configs:
            raise ImproperlyConfigured("INSTALLED_APPS should have 'pgtrigger', which installs the outbox' triggers.")
        super().import_models()

    def ready(self) -> None:
        from event_stream.outbox import checks  # noqa: F401, PLC0415  (registers them)
