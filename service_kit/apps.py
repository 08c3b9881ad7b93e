"""The Django application of what both services share."""

from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from event_stream import signals
from event_stream.configuration_source import ConfigurationSource, keep_configuration
from event_stream.otel import traces_are_wanted
from service_kit import health
from service_kit.auth.tokens import JWKSUnavailableError, verifier
from service_kit.logging import set_level
from service_kit.searches import bound_changelists
from service_kit.settings.refresh_scope import on_change, refresh, refresh_on_hangup, state


class ServiceKitConfig(AppConfig):
    name = "service_kit"

    def ready(self) -> None:
        on_change("LOG_LEVEL", set_level)
        signals.command_started.connect(_follow_hangups, dispatch_uid="service_kit.refresh_scope")
        keep_configuration(ConfigurationSource(lambda: refresh("event"), lambda: state().as_dict()))
        if apps.is_installed("django.contrib.admin"):
            bound_changelists()
        if getattr(settings, "AUTH", None) is not None:
            health.register("issuer's keys", _check_issuers_keys)
        if traces_are_wanted():
            _start_tracing()


def _follow_hangups(**_kwargs: Any) -> None:
    refresh_on_hangup()


def _check_issuers_keys() -> None:
    """Raises Degraded while no token can be verified. Sessions of browsers are served all the same."""
    try:
        verifier(settings.AUTH).keys.require()
    except JWKSUnavailableError as error:
        raise health.Degraded(
            "No bearer token can be verified: the issuer's key set can't be read. AUTH_JWKS_URL should lead to it."
        ) from error


def _start_tracing() -> None:
    """gunicorn loads the application after the fork, so each process has a provider of its own."""
    try:
        from service_kit import tracing  # noqa: PLC0415 - what nobody asked for is not even imported
    except ImportError as error:
        raise ImproperlyConfigured(
            "OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_TRACES_EXPORTER asks for traces, and a package is missing: "
            f"install what deploy/requirements.txt lists, or leave them unset. {error}."
        ) from error
    tracing.start()
