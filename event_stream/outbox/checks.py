"""System checks of the outbox."""

from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.db import connections

from event_stream.errors import ConfigurationError
from event_stream.outbox.settings import outbox_settings


@register()
def check_outbox(**kwargs: Any) -> list[CheckMessage]:
    """Check the settings, and that the database is PostgreSQL."""
    try:
        database = outbox_settings().database
    except ConfigurationError as error:
        return [Error(str(error), id="event_stream_outbox.E001")]
    errors: list[CheckMessage] = []
    vendor = connections[database].vendor
    if vendor != "postgresql":
        errors.append(
            Error(
                f"The outbox needs PostgreSQL; the database {database!r} is {vendor}.",
                hint="Its triggers, LISTEN/NOTIFY and advisory locks have no equal elsewhere.",
                id="event_stream_outbox.E002",
            )
        )
    return errors
