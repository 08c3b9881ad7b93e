"""How organizations are looked up, and how the worker goes on after failures: ORGANIZATION_LOOKUP, CONSUMER_LIMITS."""

from dataclasses import dataclass
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from service_kit.settings.environment import YEAR_S, base_url, choice, count, path, seconds
from service_kit.settings.sources import scope

# A lookup has a lease on its entry for as long, and a tombstone has to outlive each lease (CacheSettings).
_LONGEST_LOOKUP_S = 120.0


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


def lookup_settings() -> LookupSettings:
    """Read the environment; each default is here. Raises ImproperlyConfigured that names the variable."""
    with scope(None):
        # The keys of the cache and the pool of connections are made of these.
        service_url = base_url("ORGANIZATION_SERVICE_URL", "a URL such as http://gateway:8072/organization")
        token_file = path("ORGANIZATION_TOKEN_FILE", "the path of a file with this service's own token")
        versions = choice("ORGANIZATION_SERVICE_VERSIONS", "required", ("required", "none"))
    return LookupSettings(
        base_url=service_url,
        token_file=token_file,
        max_staleness_s=seconds("ORGANIZATION_MAX_STALENESS_S", 10),
        hard_ttl_s=seconds("ORGANIZATION_HARD_TTL_S", 86_400, maximum=YEAR_S),
        connect_timeout_s=seconds("ORGANIZATION_CONNECT_TIMEOUT_S", 0.5, maximum=_LONGEST_LOOKUP_S),
        read_timeout_s=seconds("ORGANIZATION_READ_TIMEOUT_S", 1.5, maximum=_LONGEST_LOOKUP_S),
        budget_s=seconds("ORGANIZATION_LOOKUP_BUDGET_S", 2.5, maximum=_LONGEST_LOOKUP_S),
        attempts=count("ORGANIZATION_CALL_ATTEMPTS", 2, "attempts", maximum=100),
        max_calls=count("ORGANIZATION_MAX_CALLS", 32, "calls at once", maximum=10_000),
        circuit_failures=count("ORGANIZATION_CIRCUIT_FAILURES", 5, "failures in a row", maximum=1_000_000),
        circuit_reset_s=seconds("ORGANIZATION_CIRCUIT_RESET_S", 5),
        versioned=versions == "required",
    )


@dataclass(frozen=True, slots=True)
class ConsumerLimits:
    """Each field is a key of a binding's consumer settings."""

    retry_initial_ms: int
    retry_max_ms: int
    dead_letter_limit: int

    def __post_init__(self) -> None:
        if self.retry_max_ms < self.retry_initial_ms:
            raise ImproperlyConfigured(
                f"CONSUMER_RETRY_MAX_MS should be at least CONSUMER_RETRY_INITIAL_MS, {self.retry_initial_ms}: it is "
                f"{self.retry_max_ms}."
            )


def consumer_limits() -> ConsumerLimits:
    """Read the environment. Raises ImproperlyConfigured that names the variable."""
    parked = "messages in a row that may be parked before the worker stops"
    return ConsumerLimits(
        retry_initial_ms=count("CONSUMER_RETRY_INITIAL_MS", 200, "milliseconds", maximum=3_600_000),
        retry_max_ms=count("CONSUMER_RETRY_MAX_MS", 10_000, "milliseconds", maximum=3_600_000),
        dead_letter_limit=count("DEAD_LETTER_LIMIT", 100, parked, maximum=1_000_000),
    )
