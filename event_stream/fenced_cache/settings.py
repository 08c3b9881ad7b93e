"""The settings of the cache."""

from dataclasses import dataclass

from event_stream.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """The times of the cache protocol."""

    max_staleness_s: float = 10.0
    """The maximum staleness: a value is fresh while it is known to have been current no longer ago than this."""
    hard_ttl_s: float = 86_400.0
    """A value expires this long after its fill; until then it may be served while the origin is away."""
    lease_ms: int = 3_000
    """How long the lookup that asks the origin excludes others; longer than the origin takes to answer."""
    tombstone_ttl_s: float = 300.0
    """How long a tombstone is kept; longer than a lease and the origin's lag together."""

    def __post_init__(self) -> None:
        if self.max_staleness_s <= 0:
            raise ConfigurationError(
                f"max_staleness_s is {self.max_staleness_s}; it should be a number of seconds above 0"
            )
        if self.hard_ttl_s < self.max_staleness_s:
            raise ConfigurationError(
                f"hard_ttl_s is {self.hard_ttl_s}; it should be at least max_staleness_s, {self.max_staleness_s}"
            )
        if self.lease_ms <= 0:
            raise ConfigurationError(f"lease_ms is {self.lease_ms}; it should be a number of milliseconds above 0")
        if self.tombstone_ttl_s * 1000 <= self.lease_ms:
            raise ConfigurationError(
                f"tombstone_ttl_s is {self.tombstone_ttl_s}; it should be longer than lease_ms, {self.lease_ms}"
            )
