"""The setting EVENT_STREAM_OUTBOX, typed."""

from dataclasses import dataclass, fields
from typing import Any

from django.conf import settings

from event_stream.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """Each field is a key of EVENT_STREAM_OUTBOX; all may be left out."""

    embedded: bool = True
    """Whether `start_embedded_relay()` starts a relay in the web process."""
    database: str = "default"
    """The relay's alias in DATABASES. A pooler in transaction mode is refused: it shares the sessions."""
    batch_size: int = 500
    """How many entries the relay holds in memory at once."""
    heartbeat_interval_s: float = 1.0
    poll_interval_s: float = 1.0
    """How often a relay that is not notified looks at the table."""
    election_interval_s: float = 0.5
    """How often a follower tries to become the leader."""
    retention_hours: float = 72.0
    """How long a published entry is kept. Parked entries are never deleted."""
    purge_batch_size: int = 1_000
    purge_interval_s: float = 10.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            is_valid = (
                isinstance(value, int | float) and not isinstance(value, bool)
                if field.type is float
                else type(value) is field.type
            )
            if not is_valid:
                type_name = getattr(field.type, "__name__", field.type)
                raise ConfigurationError(
                    f"EVENT_STREAM_OUTBOX[{field.name!r}] should be of type {type_name}, not {value!r}."
                )
            if field.type in (int, float) and value <= 0:
                raise ConfigurationError(f"EVENT_STREAM_OUTBOX[{field.name!r}] should be above 0, not {value!r}.")
        if self.database not in settings.DATABASES:
            raise ConfigurationError(
                f"EVENT_STREAM_OUTBOX['database'] should be an alias of DATABASES, not {self.database!r}."
            )


def outbox_settings() -> OutboxSettings:
    """Read the setting. Raises ImproperlyConfigured that names the wrong key."""
    values: Any = getattr(settings, "EVENT_STREAM_OUTBOX", {})
    if not isinstance(values, dict):
        raise ConfigurationError(f"EVENT_STREAM_OUTBOX should be a dict, not {values!r}.")
    known = {field.name for field in fields(OutboxSettings)}
    for key in values.keys() - known:
        raise ConfigurationError(f"EVENT_STREAM_OUTBOX has no key {key!r}; there are {', '.join(sorted(known))}.")
    return OutboxSettings(**values)
