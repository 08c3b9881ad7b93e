"""A cache in Redis that a log of changes keeps in step, with a bound on staleness that it can prove.

`FencedCache` is the protocol on a server, `CacheApplier` the worker's handler (`CacheEvictor` where the platform can't
seek), `ReadThrough` the read path. CACHES is
where the connection is configured. What is worth setting there, because redis-py's own defaults let a server that
hangs hold every lookup up for seconds:

    "OPTIONS": {
        "SOCKET_CONNECT_TIMEOUT": 0.2, "SOCKET_TIMEOUT": 0.25,     # seconds
        "CONNECTION_POOL_KWARGS": {"max_connections": 200},        # more than the threads of a process
    }
"""

from event_stream.cache.answers import Eviction, FillOutcome, Lease, Reading, State
from event_stream.cache.applier import CacheApplier
from event_stream.cache.change import Change, Heartbeat
from event_stream.cache.demand import Demand
from event_stream.cache.evictor import CacheEvictor
from event_stream.cache.lookup import Found, ReadThrough, Source, VersionNotReached
from event_stream.cache.origin import Budget, Fetch, Fetched, FetchFailed
from event_stream.cache.protocol import FencedCache
from event_stream.cache.settings import CacheSettings

__all__ = [
    "Budget",
    "CacheApplier",
    "CacheEvictor",
    "CacheSettings",
    "Change",
    "Demand",
    "Eviction",
    "FencedCache",
    "Fetch",
    "FetchFailed",
    "Fetched",
    "FillOutcome",
    "Found",
    "Heartbeat",
    "Lease",
    "ReadThrough",
    "Reading",
    "Source",
    "State",
    "VersionNotReached",
]
