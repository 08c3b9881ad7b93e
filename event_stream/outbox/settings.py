"""The setting EVENT_STREAM_OUTBOX, typed."""

from dataclasses import dataclass, fields
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """Each field is a key of EVENT_STREAM_OUTBOX; all may be left out."""

    embedded: bool = True
    """Whether `embedded.start()` starts a relay in the web process."""
    database: str = "default"
    """The alias the relay connects through: not through a pooler in transaction mode, which knows no LISTEN."""
    batch_size: int = 500
    """How many entries the relay holds in memory at once."""
    heartbeat_interval_s: float = 1.0
    poll_interval_s: float = 1.0
    """How long a relay that is not notified waits before it looks at the table nevertheless."""
    election_interval_s: float = 0.5
    """How often a follower tries to become the leader."""
    retention_hours: float = 72.0
    """How long a published entry is kept; parked ones are kept for good."""
    purge_batch_size: int = 1_000
    purge_interval_s: float = 10.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            wanted = field.type
            right = (
                isinstance(value, int | float) and not isinstance(value, bool)
                if wanted is float
                else type(value) is wanted
            )
            if not right:
                raise ImproperlyConfigured(
                    f"EVENT_STREAM_OUTBOX[{field.name!r}] should be of type {getattr(wanted, '__name__', wanted)}, "
                    f"not {value!r}."
                )
            if wanted in (int, float) and value <= 0:
                raise ImproperlyConfigured(f"EVENT_STREAM_OUTBOX[{field.name!r}] should be above 0, not {value!r}.")
        if self.database not in settings.DATABASES:
            raise ImproperlyConfigured(
                f"EVENT_STREAM_OUTBOX['database'] should be an alias of DATABASES, not {self.database!r}."
            )


def outbox_settings() -> OutboxSettings:
    """Raises ImproperlyConfigured, naming the key that is wrong."""
    given: Any = getattr(settings, "EVENT_STREAM_OUTBOX", {})
    if not isinstance(given, dict):
        raise ImproperlyConfigured(f"EVENT_STREAM_OUTBOX should be a dict, not {given!r}.")
    known = {field.name for field in fields(OutboxSettings)}
    for key in given.keys() - known:
        raise ImproperlyConfigured(f"EVENT_STREAM_OUTBOX has no key {key!r}; there are {', '.join(sorted(known))}.")
    return OutboxSettings(**given)
