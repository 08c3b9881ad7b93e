"""The setting EVENT_STREAM_OPERATIONS, typed."""

from dataclasses import dataclass

from event_stream.conf import own_setting


@dataclass(frozen=True, slots=True)
class OperationsSettings:
    """Each field is a key of EVENT_STREAM_OPERATIONS; all may be left out."""

    reports: bool = True
    """Whether processes write about themselves and follow pauses; without, the pages show what is known otherwise."""
    status_interval_s: float = 2.0
    """How often a process writes its row, and how soon a worker hears of a pause."""
    sample_interval_s: float = 60.0
    """How far apart the points of a chart are."""
    retention_days: float = 7.0
    """How long samples and the rows of processes that have ended are kept."""
    purge_batch_size: int = 1_000


_DEFAULT = OperationsSettings()
_HOUR_S = 3_600.0
_YEARS_DAYS = 3_650.0
_LARGEST_BATCH = 100_000


def operations_settings() -> OperationsSettings:
    """Read the setting. Raises ConfigurationError, which names every wrong key."""
    with own_setting("EVENT_STREAM_OPERATIONS") as reader:
        return OperationsSettings(
            reports=reader.flag("reports", default=_DEFAULT.reports),
            status_interval_s=reader.number("status_interval_s", _DEFAULT.status_interval_s, maximum=_HOUR_S),
            sample_interval_s=reader.number("sample_interval_s", _DEFAULT.sample_interval_s, maximum=_HOUR_S),
            retention_days=reader.number("retention_days", _DEFAULT.retention_days, maximum=_YEARS_DAYS),
            purge_batch_size=reader.integer(
                "purge_batch_size", _DEFAULT.purge_batch_size, minimum=1, maximum=_LARGEST_BATCH
            ),
        )
