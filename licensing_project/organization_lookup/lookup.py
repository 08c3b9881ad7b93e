"""Finds an organization: in the cache if it is fresh there, else at its own service."""

import functools
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings

from event_stream import user_context
from event_stream.clock import SystemClock
from event_stream.conf import configuration
from event_stream.fenced_cache import (
    CacheSettings,
    CacheStatus,
    Deadline,
    FencedCache,
    Found,
    FreshnessRequirement,
    ReadThrough,
)
from event_stream.messaging.channel import registry
from organization_lookup import organization
from organization_lookup.client import OrganizationClient, ServiceTokenError, UpstreamAuthError
from organization_lookup.resilient_client import Circuit, ResilientClient
from organization_lookup.settings import LookupSettings

BINDING = "inboundOrgChanges"
NAMESPACE = "o"
UNVERSIONED_NAMESPACE = "ou"
"""Apart from the other: an entry or tombstone with a version would keep out every value without one, and a watermark
would keep those values fresh for longer than anybody knows."""
REMEDY = (
    "Give the worker and the web processes the same ORG_CHANGE_PARTITIONS, ORG_CHANGE_TOPIC, LICENSING_GROUP and "
    "EVENT_BINDER"
)

_CLOCK = SystemClock()


@dataclass(slots=True)
class Lookup:
    """`current()`, for all threads of a process: they share its connections, its circuit, each other's answers."""

    cache: FencedCache
    """What lookups read, the worker applies changes to, and `cache_inspect` explains."""
    client: OrganizationClient
    fetch: ResilientClient
    read_through: ReadThrough
    budget_s: float
    versioned: bool = True
    """Whether the organization service gives versions: see `LookupSettings.versioned`."""

    def find(self, organization_id: str, demand: FreshnessRequirement) -> Found:
        """An organization's members with their version, as fresh as demanded; `value` is None where there is none.

        `organization_id` is a UUID in lower case. Raises FetchFailed (nothing known and nobody to ask),
        VersionNotReached (the demand's is a version that the organization service has not), or Refused.
        """
        try:
            return self.read_through.find(organization_id, demand)
        except (ServiceTokenError, UpstreamAuthError) as refused:
            if refused.authorization == user_context.current_or_new().authorization:
                raise
        # Several requests had waited for one answer, and it was another caller who was refused.
        asked_ms = _CLOCK.now_ms()
        fetched = self.fetch(organization_id, Deadline(_CLOCK, self.budget_s))
        return Found(fetched.value, fetched.version, asked_ms, CacheStatus.BYPASS)

    def configure(self, options: LookupSettings) -> None:
        """Have the limits of these settings for lookups from now on, with the same connections and circuit."""
        # First, so that a longer budget comes with a lease as long. A lookup that is under way may lose a shorter one:
        # then its answer is not kept.
        self.cache.configure(_cache_settings(options))
        self.client.configure(connect_timeout_s=options.connect_timeout_s, read_timeout_s=options.read_timeout_s)
        self.fetch.circuit.configure(failures=options.circuit_failures, reset_s=options.circuit_reset_s)
        self.fetch.configure(attempts=options.attempts, max_calls=options.max_calls)
        self.read_through.configure(budget_s=options.budget_s, patience_s=options.budget_s / 2)
        self.budget_s = options.budget_s

    def find_cached(self, organization_id: str) -> Found | None:
        """The same out of the cache alone, fresh enough without a demand; None leaves it to `find`. Raises nothing."""
        return self.read_through.find_cached(organization_id)

    def exists(self, organization_id: str) -> bool:
        """Whether there is such an organization; its service is asked about an absence out of the cache.

        Raises what `find` raises.
        """
        found = self.find(organization_id, FreshnessRequirement())
        if found.value is None:
            found = self.find(organization_id, FreshnessRequirement(no_cache=True))
        return found.value is not None

    def retry_after_s(self) -> float:
        """When to try again after FetchFailed, in seconds."""
        return max(1.0, self.fetch.circuit.retry_after_s())


def _cache_settings(options: LookupSettings) -> CacheSettings:
    return CacheSettings(
        max_staleness_s=options.max_staleness_s,
        hard_ttl_s=options.hard_ttl_s,
        # Nobody is to lose the lease for asking within the budget.
        lease_ms=int(options.budget_s * 1000) + 500,
    )


def make(
    options: LookupSettings, *, partitions: int, namespace: str | None = None, shared: Mapping[str, str] | None = None
) -> Lookup:
    """Opens no connection yet. `shared`: the settings, by name, that the worker must have, too."""
    cache = FencedCache(
        namespace=namespace or (NAMESPACE if options.versioned else UNVERSIONED_NAMESPACE),
        partitions=partitions,
        settings=_cache_settings(options),
        representation=organization.representation(),
        shared=shared,
    )
    client = OrganizationClient(
        options.base_url,
        token_file=options.token_file,
        connect_timeout_s=options.connect_timeout_s,
        read_timeout_s=options.read_timeout_s,
        clock=_CLOCK,
        versioned=options.versioned,
    )
    fetch = ResilientClient(
        call=client.get,
        circuit=Circuit(failures=options.circuit_failures, reset_s=options.circuit_reset_s),
        attempts=options.attempts,
        max_calls=options.max_calls,
    )
    read_through = ReadThrough(cache, fetch, budget_s=options.budget_s, patience_s=options.budget_s / 2)
    return Lookup(cache, client, fetch, read_through, options.budget_s, options.versioned)


_making = threading.Lock()


@functools.cache
def _made() -> Lookup:
    binding = configuration().bindings[BINDING]
    return make(
        settings.ORGANIZATION_LOOKUP,
        partitions=settings.ORG_CHANGE_PARTITIONS,
        shared={
            "EVENT_BINDER": binding.binder,
            "ORG_CHANGE_TOPIC": binding.destination,
            "LICENSING_GROUP": binding.group or "",
        },
    )


def current() -> Lookup:
    """This process's lookup, made when it is first asked for."""
    # The cache alone would let several threads that come first make one each.
    with _making:
        return _made()


def configure(options: LookupSettings) -> None:
    """Have this process's lookup follow settings that have changed, if it is made already."""
    with _making:
        if _made.cache_info().currsize:
            _made().configure(options)


def current_cache() -> FencedCache:
    """For the trace, which explains what the cache holds."""
    return current().cache


def has_log() -> bool:
    """Whether messages keep entries fresh, and not their own age alone."""
    return registry().channel(BINDING).capabilities.seekable and current().versioned


def _begin_anew() -> None:
    _made.cache_clear()
    _making.release()


# Sockets and locks of the parent are not the child's to use.
os.register_at_fork(before=_making.acquire, after_in_parent=_making.release, after_in_child=_begin_anew)
