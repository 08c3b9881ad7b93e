"""Every metric, by name. Nothing else in the repository names one, but the dashboard and the alert rules in `deploy/`.

Two kinds. An *instrument* is counted where something happens, and belongs to its process (gunicorn's workers share
files: `service_kit/gunicorn_metrics.py`). A *reading* is computed from durable state when Prometheus asks, and is the
same whichever process it asks: take the `max` of it over processes, never the sum.
"""

import functools
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import GaugeMetricFamily

# Prometheus knows by itself when a counter began again, and files that processes share have none of these.
disable_created_metrics()

INSTRUMENTS = CollectorRegistry()

M = TypeVar("M", bound=MetricWrapperBase)

_LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_DURATION_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


@functools.cache
def child(metric: M, *labels: str) -> M:
    """Return the child of a metric for these values. `labels` itself takes a lock and builds texts each time."""
    return metric.labels(*labels)


class BatchHistogram(Histogram):
    """A histogram that takes the values of a batch at once: `observe` costs 4 µs a value, this a tenth of it."""

    def observe_many(self, values: Iterable[float]) -> None:
        observed = list(values)
        # As `Histogram.observe` does it for one value; a test holds this against it.
        for bucket, count in Tally(bisect_left(self._upper_bounds, value) for value in observed).items():
            self._buckets[bucket].inc(count)
        self._sum.inc(sum(observed))


# HTTP.

HTTP_REQUEST_SECONDS = Histogram(
    "http_request_duration_seconds",
    "Time from the first middleware to the answer, by the template of the route.",
    ["method", "route", "status"],
    buckets=_DURATION_BUCKETS,
    registry=INSTRUMENTS,
)

# The outbox and its relay.

OUTBOX_PUBLISH_LAG_SECONDS = BatchHistogram(
    "event_stream_outbox_publish_lag_seconds",
    "Time from writing an entry of the outbox to marking it as sent, by the database's clock.",
    ["binding"],
    buckets=_LAG_BUCKETS,
    registry=INSTRUMENTS,
)
OUTBOX_PARKED = Counter(
    "event_stream_outbox_parked_total",
    "Entries of the outbox that could not be sent and were parked.",
    ["binding"],
    registry=INSTRUMENTS,
)
RELAY_LEADER = Gauge(
    "event_stream_relay_leader",
    "1 in the relay that leads, 0 in those that stand by. `embedded` is true for the thread of a web process.",
    ["embedded"],
    multiprocess_mode="livesum",
    registry=INSTRUMENTS,
)
RELAY_LAST_ROUND = Gauge(
    "event_stream_relay_last_round_timestamp_seconds",
    "When the loop of the relay turned last, since the Unix epoch.",
    ["embedded"],
    multiprocess_mode="livemax",
    registry=INSTRUMENTS,
)

# The worker.

WORKER_DELIVERY_LAG_SECONDS = BatchHistogram(
    "event_stream_worker_delivery_lag_seconds",
    "Time from sending a record to committing its offset, heartbeats included.",
    ["binding"],
    buckets=_LAG_BUCKETS,
    registry=INSTRUMENTS,
)
WORKER_BATCH_SECONDS = Histogram(
    "event_stream_worker_batch_duration_seconds",
    "Time that a batch took to be handled and committed.",
    ["binding"],
    buckets=_DURATION_BUCKETS,
    registry=INSTRUMENTS,
)
WORKER_RETRIES = Counter(
    "event_stream_worker_retries_total",
    "Batches that a partition has to try again because a server that the handler needs was away.",
    ["binding"],
    registry=INSTRUMENTS,
)
WORKER_PARTITIONS = Gauge(
    "event_stream_worker_partitions",
    "Partitions that this worker has.",
    ["binding"],
    multiprocess_mode="livesum",
    registry=INSTRUMENTS,
)
WORKER_FAILING_PARTITIONS = Gauge(
    "event_stream_worker_failing_partitions",
    "Those of them that wait to be tried again.",
    ["binding"],
    multiprocess_mode="livesum",
    registry=INSTRUMENTS,
)
WORKER_PAUSED_PARTITIONS = Gauge(
    "event_stream_worker_paused_partitions",
    "Those of them that a person has paused.",
    ["binding"],
    multiprocess_mode="livesum",
    registry=INSTRUMENTS,
)
WORKER_LAST_ROUND = Gauge(
    "event_stream_worker_last_round_timestamp_seconds",
    "When the loop of the worker turned last, since the Unix epoch.",
    ["binding"],
    multiprocess_mode="livemax",
    registry=INSTRUMENTS,
)
RECORDS_REJECTED = Counter(
    "event_stream_records_rejected_total",
    "Records that were given up, and parked where the binding has dead letters.",
    ["destination"],
    registry=INSTRUMENTS,
)

# The cache.

LOOKUP_RESULTS = ("hit", "miss", "stale", "bypass", "failed")
KEPT_RESULTS = ("hit", "stale")
"""Of lookups: those whose answers come out of the cache."""
FILL_OUTCOMES = ("filled", "lease_lost", "older", "unavailable")
CIRCUITS = ("cache", "cache_writes", "origin")

CACHE_EVICTION_LAG_SECONDS = BatchHistogram(
    "event_stream_cache_eviction_lag_seconds",
    "Time from the change to its eviction, one value for each change.",
    buckets=_LAG_BUCKETS,
    registry=INSTRUMENTS,
)
CACHE_LOOKUP_SECONDS = Histogram(
    "event_stream_cache_lookup_duration_seconds",
    "Time of a lookup. `result` is hit, miss, stale, bypass, or failed where there was no answer.",
    ["result"],
    buckets=_DURATION_BUCKETS,
    registry=INSTRUMENTS,
)
CACHE_ANSWER_AGE_SECONDS = Histogram(
    "event_stream_cache_answer_age_seconds",
    "How long ago an answer out of the cache was proven to be current.",
    ["result"],
    buckets=(0.1, 0.25, 0.5, 1, 1.5, 2.5, 5, 10, 30, 60, 300, 3600),
    registry=INSTRUMENTS,
)
CACHE_FILLS = Counter(
    "event_stream_cache_fills_total",
    "Answers of the origin that were offered to the cache. `outcome` is filled, lease_lost, older, or unavailable.",
    ["outcome"],
    registry=INSTRUMENTS,
)
ORIGIN_CALLS = Counter(
    "event_stream_origin_calls_total",
    "Attempts to ask the origin. `outcome` is answered, refused, or the cause of the failure.",
    ["outcome"],
    registry=INSTRUMENTS,
)
ORIGIN_RETRIES = Counter(
    "event_stream_origin_retries_total",
    "Those attempts that were not the first one of their lookup.",
    registry=INSTRUMENTS,
)
CIRCUIT_OPEN = Gauge(
    "event_stream_circuit_open",
    "Processes whose circuit to a server is not closed. `circuit` is cache, cache_writes, or origin.",
    ["circuit"],
    multiprocess_mode="livesum",
    registry=INSTRUMENTS,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A gauge that is computed when it is asked for. Absent while its source is away."""

    name: str
    help: str
    labels: tuple[str, ...] = ()

    def family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self.name, self.help, labels=self.labels)


OUTBOX_WAITING = Reading(
    "event_stream_outbox_waiting_entries",
    "Entries of the outbox that are not sent yet; 100,000 stands for that many or more.",
    ("binding",),
)
OUTBOX_OLDEST_AGE = Reading(
    "event_stream_outbox_oldest_waiting_age_seconds",
    "Age of the oldest of them by the database's clock; 0 where none waits.",
    ("binding",),
)
OUTBOX_PARKED_ENTRIES = Reading(
    "event_stream_outbox_parked_entries",
    "Entries that can't be sent and wait for a person; 100,000 stands for that many or more.",
    ("binding",),
)
CONSUMER_LAG = Reading(
    "event_stream_consumer_lag_records",
    "Records of the destination that the group has not handled yet, heartbeats included; at most 10 s old.",
    ("binding",),
)
DEAD_LETTERS_OPEN = Reading(
    "event_stream_dead_letters_open",
    "Dead letters that wait for a person; at most 60 s old. Absent where the destination has over 10,000 records.",
    ("binding",),
)
WATERMARK_AGE = Reading(
    "event_stream_cache_watermark_age_seconds",
    "How long ago the log was known to be applied: the most that an entry of this partition can be stale.",
    ("partition",),
)
WATERMARK_OFFSET = Reading(
    "event_stream_cache_watermark_offset",
    "The offset up to which the partition is applied to the cache.",
    ("partition",),
)
WATERMARKS_MISSING = Reading(
    "event_stream_cache_watermarks_missing",
    "Partitions without a watermark of workers with these settings: nothing there is fresh by the log.",
)
MAX_STALENESS = Reading(
    "event_stream_cache_max_staleness_seconds",
    "The setting: an older answer is not served as fresh.",
)
SOURCE_UP = Reading(
    "event_stream_metrics_source_up",
    "Whether the source of computed metrics answered. `source` is outbox, cache, consumer_lag, or dead_letters.",
    ("source",),
)
READINGS = (
    OUTBOX_WAITING,
    OUTBOX_OLDEST_AGE,
    OUTBOX_PARKED_ENTRIES,
    CONSUMER_LAG,
    DEAD_LETTERS_OPEN,
    WATERMARK_AGE,
    WATERMARK_OFFSET,
    WATERMARKS_MISSING,
    MAX_STALENESS,
    SOURCE_UP,
)
