"""How organizations are looked up: the value of ORGANIZATION_LOOKUP."""

from dataclasses import dataclass
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


@dataclass(frozen=True, slots=True)
class LookupSettings:
    """Times in seconds."""

    base_url: str
    """What stands before `/v1/organization/{id}`; ORGANIZATION_SERVICE_URL."""
    token_file: Path | None
    """Holds the bearer token to ask with for those who bring none of their own: a browser's session, a command. It is
    read with each such call, so that whoever renews tokens writes a new one there."""
    max_staleness_s: float
    """An organization out of the cache is proven to have been current no longer ago than this."""
    hard_ttl_s: float
    """The last known value is served no longer than this while the organization service is away."""
    connect_timeout_s: float
    read_timeout_s: float
    budget_s: float
    """For a whole lookup: waiting for another one's answer, for a free place, every attempt."""
    attempts: int
    """How often the organization service is asked in one lookup at most."""
    max_calls: int
    """How many calls of one process may be under way."""
    circuit_failures: int
    """After so many failures in a row the organization service is left alone…"""
    circuit_reset_s: float
    """…for so long."""
    versioned: bool = True
    """Whether the organization service gives versions (ORGANIZATION_SERVICE_VERSIONS). Where not, an organization is
    as old as its call, and is read again after the maximum staleness; a message evicts it, whatever its version."""

    def __post_init__(self) -> None:
        if self.hard_ttl_s < self.max_staleness_s:
            raise ImproperlyConfigured(
                f"ORGANIZATION_HARD_TTL_S should be at least ORGANIZATION_MAX_STALENESS_S, {self.max_staleness_s}: "
                f"it is {self.hard_ttl_s}."
            )
        if self.budget_s < self.connect_timeout_s:
            raise ImproperlyConfigured(
                "ORGANIZATION_LOOKUP_BUDGET_S should be at least ORGANIZATION_CONNECT_TIMEOUT_S, "
                f"{self.connect_timeout_s}: it is {self.budget_s}."
            )
