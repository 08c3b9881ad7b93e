"""System checks of the trace."""

from typing import Any

from django.core.checks import CheckMessage, Error, register

from event_stream.errors import ConfigurationError
from event_stream.trace.settings import trace_settings


def check_trace(**_: Any) -> list[CheckMessage]:
    """Check the setting EVENT_STREAM_TRACE."""
    try:
        trace_settings()
    except ConfigurationError as error:
        return [Error(str(error), id="event_stream_trace.E001")]
    return []


def register_checks() -> None:
    register(check_trace)
