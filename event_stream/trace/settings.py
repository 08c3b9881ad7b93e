"""The setting EVENT_STREAM_TRACE, typed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

from event_stream.conf import SettingsReader, configuration, own_setting


@dataclass(frozen=True, slots=True)
class Peer:
    """Another service that has a part of the trace."""

    name: str
    url: str
    """What stands before `/traces/{correlation_id}`."""
    token_file: str | None = None
    """Holds the bearer token to ask with; read with each call."""


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """Each field is a key of EVENT_STREAM_TRACE; all may be left out."""

    record: bool = True
    """Whether this service records what it does. What others have recorded is shown all the same."""
    service: str = "this service"
    """What the service is called in a trace."""
    key_name: str = "key"
    """What a key of a message is in this system: `manage.py trace --KEY_NAME` asks for one."""
    consumes: tuple[str, ...] = ()
    """The bindings that this service reads with a worker."""
    cache: str | None = None
    """Dotted path of a function that returns the FencedCache that lookups fill and the worker evicts from."""
    retention_days: float = 7.0
    buffer_size: int = 10_000
    """How many rows wait in memory for the database at most. More are counted and dropped."""
    write_interval_s: float = 1.0
    """How often the rows of a busy process are written; those of an idle one are written at once."""
    purge_batch_size: int = 1_000
    purge_interval_s: float = 60.0
    peers: Mapping[str, Peer] = field(default_factory=dict)
    """The other services that are asked for their part, by name."""
    peer_timeout_s: float = 2.0

    @property
    def retention(self) -> timedelta:
        return timedelta(days=self.retention_days)


_DEFAULT = TraceSettings()
_DAY_S = 86_400.0
_LARGEST_BATCH = 100_000
_CENTURY_DAYS = 36_525.0


def trace_settings() -> TraceSettings:
    """Read the setting. Raises ConfigurationError, which names every wrong key."""
    with own_setting("EVENT_STREAM_TRACE") as reader:
        return TraceSettings(
            record=reader.flag("record", default=_DEFAULT.record),
            service=reader.text("service", default=_DEFAULT.service),
            key_name=reader.text("key_name", default=_DEFAULT.key_name),
            consumes=_consumes(reader),
            cache=_cache(reader),
            retention_days=reader.number("retention_days", _DEFAULT.retention_days, maximum=_CENTURY_DAYS),
            buffer_size=reader.integer("buffer_size", _DEFAULT.buffer_size, minimum=1, maximum=1_000_000),
            write_interval_s=reader.number("write_interval_s", _DEFAULT.write_interval_s, maximum=_DAY_S),
            purge_batch_size=reader.integer(
                "purge_batch_size", _DEFAULT.purge_batch_size, minimum=1, maximum=_LARGEST_BATCH
            ),
            purge_interval_s=reader.number("purge_interval_s", _DEFAULT.purge_interval_s, maximum=_DAY_S),
            peers={name: _peer(name, entry) for name, entry in reader.table("peers").tables().items()},
            peer_timeout_s=reader.number("peer_timeout_s", _DEFAULT.peer_timeout_s, maximum=60.0),
        )


def _consumes(reader: SettingsReader) -> tuple[str, ...]:
    names = reader.texts("consumes")
    bindings = configuration().bindings
    if wrong := [name for name in names if name not in bindings or bindings[name].group is None]:
        reader.wrong("consumes", f"has {', '.join(map(repr, wrong))}; each should be a binding with a group")
    return tuple(name for name in names if name not in wrong)


def _cache(reader: SettingsReader) -> str | None:
    dotted = reader.text("cache") or None
    if dotted is not None and "." not in dotted:
        reader.wrong("cache", f"is {dotted!r}; it should be the dotted path of a function")
    return dotted


def _peer(name: str, entry: SettingsReader) -> Peer:
    url = entry.text("url", required=True)
    if url and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname):
        entry.wrong("url", f"is {url!r}; it should be an http or https URL with a host")
    result = Peer(name, url.rstrip("/"), entry.text("token_file") or None)
    entry.finish()
    return result
