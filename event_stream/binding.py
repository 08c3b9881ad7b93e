"""A binding ties a name that application code uses to a destination on a platform."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

HeaderFormat = Literal["spring", "plain", "cloudevents"]


@dataclass(frozen=True, slots=True)
class ProducerSettings:
    """What only concerns sending."""

    heartbeat: str | None = None
    """Dotted path of a function that makes the payload of a heartbeat; the outbox' relay sends it."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """The binder's own: see its documentation."""
    interceptors: tuple[str, ...] = ()
    """Dotted paths of functions that each message passes through before it is serialized: message in, message out."""
    stand_in: str | None = None
    """Dotted path of a function that makes, of the payload of a message that can't be sent, that of a smaller one; the
    outbox' relay sends it in its place."""


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """What only concerns the worker. Times are in milliseconds."""

    batch_size: int = 500
    """The most records that one poll returns, over all partitions."""
    poll_timeout_ms: int = 500
    """How long a poll waits, and so how late a stop is noticed."""
    idle_interval_ms: int = 1000
    """How often a handler hears that nothing came."""
    retry_initial_ms: int = 200
    retry_max_ms: int = 10_000
    """A partition whose handler needs a server that is away waits between these two, doubling each time."""
    retry_attempts: int = 3
    """How often a sink tries a message that fails otherwise, waiting likewise, before it is given up."""
    retry_permanent: tuple[str, ...] = ()
    """Dotted paths of errors that trying again can't mend: a message that they come of is given up at once."""
    dead_letters: bool = False
    """Park what is given up on <destination>.<group>.dlq; else it is logged and passed over."""
    dead_letter_limit: int = 100
    """That many in a row may be parked; one more stops the worker."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """The binder's own: see its documentation."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One entry of EVENT_STREAM["bindings"], checked. `group` is None for a binding that only sends."""

    name: str
    destination: str
    binder: str
    content_type: str = "application/json"
    group: str | None = None
    header_format: HeaderFormat = "spring"
    journal: bool = False
    """Read as a whole and never by a group, as dead letters are: kept on any platform, whatever it does with others."""
    producer: ProducerSettings = field(default_factory=ProducerSettings)
    consumer: ConsumerSettings = field(default_factory=ConsumerSettings)
