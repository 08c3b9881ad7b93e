"""OpenTelemetry spans for what the event layer does, on every platform. Off unless the environment asks for traces.

    INSTALLED_APPS = [..., "event_stream.otel"]

The span of the request (or whatever is current) that writes a message is its creation context: `traceparent` goes with
the message, through the outbox and over the platform. `send`, `receive` and `process` are spans of their own that link
to the creation contexts of their messages; with a single message they are its children, too. A batch none of whose
messages was sampled has no span.

This app uses the API of OpenTelemetry alone; the provider, the exporter and other spans are up to the project.
"""

import os

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def traces_are_wanted() -> bool:
    """Return whether OpenTelemetry's standard environment variables ask for traces: by an endpoint or an exporter."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter:
        return exporter != "none"
    return any(os.environ.get(name, "").strip() for name in _ENDPOINTS)
