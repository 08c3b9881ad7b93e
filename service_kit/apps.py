from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured

from event_stream.otel import traces_are_wanted


class ServiceKitConfig(AppConfig):
    name = "service_kit"

    def ready(self) -> None:
        """Start tracing where the environment asks for it. gunicorn loads the application after the fork, so each
        process has a provider of its own.
        """
        if not traces_are_wanted():
            return
        try:
            from service_kit import tracing  # noqa: PLC0415 - what nobody asked for is not even imported
        except ImportError as error:
            raise ImproperlyConfigured(
                "OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_TRACES_EXPORTER asks for traces, and a package is missing: "
                f"install what deploy/requirements.txt lists, or leave them unset. {error}."
            ) from error
        tracing.start()
