"""Handlers for the tests of the worker: they write down what they are asked, and can be told how to answer."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from event_stream.consumer.handler import Batch, Handled, SeekTo
from event_stream.errors import UnavailableError
from event_stream.messaging.binder import OffsetRange


@dataclass
class Recorder:
    """Handles everything, unless `answer` says otherwise. `start_at` is where a partition is to be read from."""

    answer: Callable[[Batch], Handled | SeekTo | None] = lambda _: None
    start_at: Callable[[int, OffsetRange], int | None] = lambda _partition, _log: None
    on_idle: Callable[[int, int, OffsetRange], int | None] = lambda _partition, _position, _log: None
    batches: list[Batch] = field(default_factory=list)
    handled: list[bytes] = field(default_factory=list)
    started: list[tuple[int, OffsetRange, int | None]] = field(default_factory=list)
    idled: list[tuple[int, int, OffsetRange]] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)

    def start(self, partition: int, log: OffsetRange, committed: int | None) -> int | None:
        self.started.append((partition, log, committed))
        return self.start_at(partition, log)

    def handle(self, batch: Batch) -> Handled | SeekTo:
        self.batches.append(batch)
        answer = self.answer(batch) or Handled()
        if isinstance(answer, Handled):
            self.handled += [record.value or b"" for record in batch.records]
        return answer

    def idle(self, partition: int, position: int, log: OffsetRange) -> int | None:
        self.idled.append((partition, position, log))
        return self.on_idle(partition, position, log)

    def stop(self, partition: int) -> None:
        self.stopped.append(partition)


class Outage:
    """A server that is away while `away` is set."""

    def __init__(self) -> None:
        self.away = threading.Event()

    def check(self) -> None:
        if self.away.is_set():
            raise UnavailableError("the server is away")
