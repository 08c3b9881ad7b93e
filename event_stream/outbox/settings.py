"""The setting EVENT_STREAM_OUTBOX, typed."""

from dataclasses import dataclass

from django.conf import settings

from event_stream.conf import own_setting


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """Each field is a key of EVENT_STREAM_OUTBOX; all may be left out."""

    embedded: bool = True
    """Whether `start_embedded_relay()` starts a relay in the web process."""
    database: str = "default"
    """The relay's alias in DATABASES. A pooler in transaction mode is refused: it shares the sessions."""
    batch_size: int = 2_000
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


_DEFAULT = OutboxSettings()
_DAY_S = 86_400.0
_LARGEST_BATCH = 100_000
_CENTURY_HOURS = 876_600.0


def outbox_settings() -> OutboxSettings:
    """Read the setting. Raises ConfigurationError, which names every wrong key."""
    with own_setting("EVENT_STREAM_OUTBOX") as reader:

        def seconds(key: str) -> float:
            return reader.number(key, getattr(_DEFAULT, key), maximum=_DAY_S)

        def batch(key: str) -> int:
            return reader.integer(key, getattr(_DEFAULT, key), minimum=1, maximum=_LARGEST_BATCH)

        return OutboxSettings(
            embedded=reader.flag("embedded", default=_DEFAULT.embedded),
            database=reader.choice("database", settings.DATABASES, _DEFAULT.database),
            batch_size=batch("batch_size"),
            heartbeat_interval_s=seconds("heartbeat_interval_s"),
            poll_interval_s=seconds("poll_interval_s"),
            election_interval_s=seconds("election_interval_s"),
            retention_hours=reader.number("retention_hours", _DEFAULT.retention_hours, maximum=_CENTURY_HOURS),
            purge_batch_size=batch("purge_batch_size"),
            purge_interval_s=seconds("purge_interval_s"),
        )
