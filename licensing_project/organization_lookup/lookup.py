"""Finds an organization: in the cache if that vouches for it, else at its own service. One set-up per process."""

import functools
import os

from django.conf import settings

from event_stream import correlation
from event_stream.cache import Budget, CacheSettings, Demand, FencedCache, Found, ReadThrough, Source
from event_stream.clock import SystemClock
from organization_lookup.circuit import Circuit
from organization_lookup.client import OrganizationClient
from organization_lookup.errors import Refused
from organization_lookup.guarded import GuardedClient

NAMESPACE = "o"

_CLOCK = SystemClock()


def find(organization_id: str, demand: Demand) -> Found:
    """The organization's members with their version, as fresh as demanded; `value` is None for one that isn't there.

    `organization_id` is a UUID in lower case. Raises FetchFailed (nothing known and nobody to ask), VersionNotReached
    (the demand's is a version that the organization service has not), or Refused.
    """
    try:
        return read_through().find(organization_id, demand)
    except Refused as refused:
        if refused.authorization == correlation.current_or_new().authorization:
            raise
    # Several requests had waited for one answer, and it was another caller who was refused.
    asked_ms = _CLOCK.now_ms()
    fetched = fetch()(organization_id, Budget(_CLOCK, settings.ORGANIZATION_LOOKUP.budget_s))
    return Found(fetched.value, fetched.version, asked_ms, Source.BYPASS)


def retry_after_s() -> float:
    """When to try again after FetchFailed, in seconds."""
    return max(1.0, fetch().circuit.retry_after_s())


@functools.cache
def cache() -> FencedCache:
    """What lookups read, the worker applies changes to, and `cache_inspect` explains."""
    options = settings.ORGANIZATION_LOOKUP
    return FencedCache(
        namespace=NAMESPACE,
        partitions=settings.ORG_CHANGE_PARTITIONS,
        settings=CacheSettings(
            bound_s=options.bound_s,
            hard_ttl_s=options.hard_ttl_s,
            # Nobody is to lose the lease for asking within the budget.
            lease_ms=int(options.budget_s * 1000) + 500,
        ),
    )


@functools.cache
def client() -> OrganizationClient:
    options = settings.ORGANIZATION_LOOKUP
    return OrganizationClient(
        options.base_url,
        connect_timeout_s=options.connect_timeout_s,
        read_timeout_s=options.read_timeout_s,
        max_connections=options.max_calls,
        clock=_CLOCK,
    )


@functools.cache
def fetch() -> GuardedClient:
    """Asks the organization service, past the cache."""
    options = settings.ORGANIZATION_LOOKUP
    return GuardedClient(
        call=client().get,
        circuit=Circuit(failures=options.circuit_failures, reset_s=options.circuit_reset_s),
        attempts=options.attempts,
        max_calls=options.max_calls,
    )


@functools.cache
def read_through() -> ReadThrough:
    budget_s = settings.ORGANIZATION_LOOKUP.budget_s
    return ReadThrough(cache(), fetch(), budget_s=budget_s, patience_s=budget_s / 2)


def forget() -> None:
    """The next lookup makes everything anew."""
    for made in (cache, client, fetch, read_through):
        made.cache_clear()


# Sockets and locks of the parent are not the child's to use.
os.register_at_fork(after_in_child=forget)
