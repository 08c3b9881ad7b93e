"""A cache in Redis that a log of changes keeps in step, with a bound on staleness that it can prove.

`FencedCache` is the protocol on a server, `LogInvalidator` the worker's handler (`QueueInvalidator` where the platform
can't seek), `ReadThrough` the read path. CACHES configures the connection. redis-py's own defaults
let a server that hangs delay every lookup for seconds, so set there:

    "OPTIONS": {
        "SOCKET_CONNECT_TIMEOUT": 0.2, "SOCKET_TIMEOUT": 0.25,     # seconds
        "CONNECTION_POOL_KWARGS": {"max_connections": 200},        # more than the threads of a process
    }
"""

from event_stream.fenced_cache.cache import Eviction, FencedCache, FillOutcome, Lease, Reading, State
from event_stream.fenced_cache.entry import Change, Heartbeat
from event_stream.fenced_cache.freshness import FreshnessRequirement
from event_stream.fenced_cache.invalidators import LogInvalidator, QueueInvalidator
from event_stream.fenced_cache.read_through import (
    CacheStatus,
    Deadline,
    Fetch,
    Fetched,
    FetchFailed,
    Found,
    ReadThrough,
    VersionNotReached,
)
from event_stream.fenced_cache.settings import CacheSettings

__all__ = [
    "CacheSettings",
    "CacheStatus",
    "Change",
    "Deadline",
    "Eviction",
    "FencedCache",
    "Fetch",
    "FetchFailed",
    "Fetched",
    "FillOutcome",
    "Found",
    "FreshnessRequirement",
    "Heartbeat",
    "Lease",
    "LogInvalidator",
    "QueueInvalidator",
    "ReadThrough",
    "Reading",
    "State",
    "VersionNotReached",
]
