"""A channel: where a binding leads. Sources and workers meet the platform here and nowhere else."""

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import cast

from django.core.signals import setting_changed

from event_stream import conf
from event_stream.conf import Binding
from event_stream.errors import ConfigurationError, UnsendableError
from event_stream.messaging.binder import (
    BatchProducer,
    Binder,
    Capabilities,
    Consumer,
    Delivery,
    Producer,
    RebalanceListener,
)
from event_stream.messaging.message import ConsumerRecord, ProducerRecord, RecordMetadata


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

    def publish(self, record: ProducerRecord) -> "Future[RecordMetadata]":
        """Hand the record over; the future ends with the platform's receipt or a PublishError."""
        return self._connected().send(record)

    def publish_all(self, records: Sequence[ProducerRecord]) -> Sequence[Delivery]:
        """Hand records over in their order, up to the first that fails at once; see `BatchProducer.send_all`."""
        producer = self._connected()
        if isinstance(producer, BatchProducer):
            return producer.send_all(records)
        deliveries: list[Delivery] = []
        for record in records:
            deliveries.append(producer.send(record))
            if failed_at_once(deliveries[-1]):
                break
        return deliveries

    def partition_count(self) -> int:
        """How many partitions the destination has. Raises UnavailableError when the platform can't be asked."""
        return self._connected().partition_count(self.binding.destination)

    def read(self) -> Iterator[ConsumerRecord]:
        """All that the destination holds by now. Raises UnavailableError where it is not there."""
        return self._binder.read(self.binding)

    def subscribe(self, listener: RebalanceListener) -> Consumer:
        """A consumer of its own for the binding's group."""
        if self.binding.group is None:
            raise ConfigurationError(
                f"{self.binding.path}['group'] is missing; a binding that consumes should name its group"
            )
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


def failed_at_once(delivery: Delivery) -> bool:
    """Whether it has failed already, and may be sent again: no server answers, say."""
    return delivery.done() and not isinstance(delivery.exception(), UnsendableError | None)


TYPES = {
    "kafka": "event_stream.binders.kafka.binder.KafkaBinder",
    "memory": "event_stream.binders.memory.MemoryBinder",
    "rabbitmq": "event_stream.binders.rabbitmq.binder.RabbitBinder",
    "redis": "event_stream.binders.redis.binder.RedisBinder",
}
CLOSE_TIMEOUT_S = 2.0


def make_binder(settings: conf.BinderSettings) -> Binder:
    """A binder of its own. Raises ConfigurationError with the path of what is wrong."""
    path = f"{conf.SETTING}['binders'][{settings.name!r}]"
    should_be = f"it should be one of {', '.join(map(repr, TYPES))} or the dotted path of a Binder"
    make = conf.import_dotted(
        TYPES.get(settings.type, settings.type), f"{path}['type'] is {settings.type!r}; {should_be}"
    )
    try:
        return cast(Binder, make(settings.name, settings.properties))
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}{error}") from error


class Registry:
    """The binders and channels of this process, made from the setting when they are first asked for.

    There is one for each process: a connection does not survive a fork.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._binders: dict[str, Binder] = {}
        self._channels: dict[str, Channel] = {}

    def binder(self, name: str) -> Binder:
        with self._lock:
            if name not in self._binders:
                binders = conf.configuration().binders
                if name not in binders:
                    known = ", ".join(map(repr, sorted(binders)))
                    raise ConfigurationError(f"{conf.SETTING}['binders'] has no {name!r}; it has {known}")
                self._binders[name] = make_binder(binders[name])
            return self._binders[name]

    def channel(self, binding_name: str) -> Channel:
        """The channel of a binding. Raises ConfigurationError when there is no such binding."""
        with self._lock:
            if binding_name not in self._channels:
                binding = conf.configuration().binding(binding_name)
                self._channels[binding_name] = Channel(binding, self.binder(binding.binder))
            return self._channels[binding_name]

    def close(self) -> None:
        """Send what is under way and disconnect; all is made again on demand."""
        with self._lock:
            channels = list(self._channels.values())
            self._channels.clear()
            self._binders.clear()
        for channel in channels:
            channel.close(CLOSE_TIMEOUT_S)


_registry = Registry()


def registry() -> Registry:
    """This process' own."""
    return _registry


def _begin_anew() -> None:
    global _registry  # noqa: PLW0603 - the one of the parent process is left as it is, with the parent's sockets
    _registry = Registry()


def _forget(*, setting: str, **_: object) -> None:
    if setting == conf.SETTING:
        _registry.close()


os.register_at_fork(after_in_child=_begin_anew)
setting_changed.connect(_forget, dispatch_uid="event_stream.messaging.channel")
