"""A channel: where a binding leads. Sources and workers meet the platform here and nowhere else."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future

from event_stream.binder import Binder, Capabilities, Consumer, Producer, RebalanceListener
from event_stream.binding import Binding
from event_stream.errors import ConfigurationError
from event_stream.message import OutboundRecord, Receipt, Record


class Channel:
    """One binding on its binder. Sending is safe from several threads; they share one producer."""

    def __init__(self, binding: Binding, binder: Binder) -> None:
        self.binding = binding
        self._binder = binder
        self._producer: Producer | None = None
        self._lock = threading.Lock()

    @property
    def capabilities(self) -> Capabilities:
        return self._binder.capabilities

    def publish(self, record: OutboundRecord) -> "Future[Receipt]":
        """Hand the record over; the future ends with the platform's receipt or a PublishError."""
        return self._connected().send(record)

    def partition_count(self) -> int:
        """How many partitions the destination has. Raises UnavailableError when the platform can't be asked."""
        return self._connected().partition_count(self.binding.destination)

    def read(self) -> Iterator[Record]:
        """All that the destination holds by now. Raises UnavailableError where it is not there."""
        return self._binder.read(self.binding)

    def subscribe(self, listener: RebalanceListener) -> Consumer:
        """A consumer of its own for the binding's group."""
        if self.binding.group is None:
            path = f"EVENT_STREAM['bindings'][{self.binding.name!r}]['group']"
            raise ConfigurationError(f"{path} is missing; a binding that consumes should name its group")
        return self._binder.consumer(self.binding, listener)

    def close(self, timeout_s: float) -> None:
        """Wait for what is under way, then disconnect. Consumers are closed by those who asked for them."""
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout_s)

    def _connected(self) -> Producer:
        with self._lock:
            if self._producer is None:
                self._producer = self._binder.producer(self.binding)
            return self._producer
