"""A worker on a thread of the test."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from event_stream.conf import Binding
from event_stream.consumer.handler import BatchHandler
from event_stream.consumer.pauses import NO_PAUSES, Pauses
from event_stream.consumer.worker import StopCondition, Worker
from event_stream.messaging.binder import Binder
from event_stream.messaging.channel import Channel


class Running:
    """`error` is what `run` raised, once it has ended."""

    def __init__(
        self,
        binder: Binder,
        binding: Binding,
        handler: BatchHandler,
        until: StopCondition = StopCondition.STOPPED,
        *,
        pauses: Pauses = NO_PAUSES,
    ) -> None:
        self.worker = Worker(binding.name, handler, channel=Channel(binding, binder))
        self.worker.pause(pauses)
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._until = until
        self._thread = threading.Thread(target=self._run, name="worker")
        self._thread.start()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Tell it to, and wait until it has."""
        self._stop.set()
        self._thread.join(30)
        assert self.ended, "the worker does not stop"

    def _run(self) -> None:
        try:
            self.worker.run(self._stop.is_set, self._until)
        except BaseException as error:  # noqa: BLE001 - the test looks at it, and may have made it crash
            self.error = error


@contextmanager
def running(
    binder: Binder, binding: Binding, handler: BatchHandler, until: StopCondition = StopCondition.STOPPED
) -> Iterator[Running]:
    worker = Running(binder, binding, handler, until)
    try:
        yield worker
    finally:
        worker.stop()
    if worker.error is not None:
        raise worker.error
