"""Clients that write and read at random for a while, and write down what they saw."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from tests.consistency.history import Read, Write
from tests.e2e.world import Customer, World, fresh

WRITERS = 2
READERS = 6


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request that was not answered with what was asked for. A write of this kind may have been committed or not.

    `status` is None where there was no answer at all, and `why` the body or the error. `says_so`: it was a 503 that
    tells programs, too (problem+json), and when to come again (Retry-After).
    """

    customer: Customer
    method: str
    began_s: float
    answered_s: float
    status: int | None
    why: str
    says_so: bool = False


class Client(Protocol):
    """Writes and reads organizations. What it raises ends the load."""

    instances: int

    def write(self, customer: Customer) -> Write | Unanswered: ...

    def read(self, customer: Customer, instance: int) -> Read | Unanswered: ...


class Strict:
    """For a world in which every request has to be answered."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.instances = len(world.platform.licensing_urls)

    def write(self, customer: Customer) -> Write:
        began_s = time.time()
        answer = self._world.change(customer, fresh("contact"))
        return Write(customer.id, int(answer.headers["Organization-Version"]), began_s, time.time())

    def read(self, customer: Customer, instance: int) -> Read:
        began_s = time.time()
        found = self._world.lookup(customer, instance)
        answered_s = time.time()
        fresh_at_s = datetime.fromisoformat(found.headers["Organization-Fresh-At"]).timestamp()
        return Read(customer.id, found.version, began_s, answered_s, fresh_at_s, found.cache)


class Load:
    """Runs between enter and exit. Each organization has one writer: its versions are in the order of writes.

    A reader rests for `reader_pause_s` after each read, and longer after one that was not answered.
    """

    def __init__(
        self,
        client: Client,
        customers: Sequence[Customer],
        *,
        writers: int = WRITERS,
        readers: int = READERS,
        reader_pause_s: float = 0.0,
    ) -> None:
        self._client = client
        self._customers = customers
        self._writers = writers
        self._readers = readers
        self._reader_pause_s = reader_pause_s
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(writers + readers)
        self._clients: list[Future[None]] = []
        self.writes: list[Write] = []
        self.reads: list[Read] = []
        self.unanswered: list[Unanswered] = []

    def __enter__(self) -> Self:
        for customer in self._customers:
            self._write(customer)
        for number in range(self._writers):
            mine = self._customers[number :: self._writers]
            self._clients.append(self._pool.submit(self._keep_writing, random.Random(number), mine))
        for number in range(self._readers):
            self._clients.append(self._pool.submit(self._keep_reading, random.Random(number), number))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._pool.shutdown()
        if error is None:
            for client in self._clients:
                client.result()

    def after(self, reads: int = 0, *, writes: int = 0) -> Callable[[], bool]:
        """Whether this many more reads and writes have been answered since now."""
        wanted = len(self.reads) + reads, len(self.writes) + writes

        def come() -> bool:
            there = len(self.reads) >= wanted[0] and len(self.writes) >= wanted[1]
            return there or any(client.done() for client in self._clients)

        return come

    def _write(self, customer: Customer) -> bool:
        outcome = self._client.write(customer)
        if isinstance(outcome, Unanswered):
            self.unanswered.append(outcome)
            return False
        self.writes.append(outcome)
        return True

    def _keep_writing(self, chance: random.Random, customers: Sequence[Customer]) -> None:
        while not self._stop.is_set():
            self._write(chance.choice(customers))
            self._stop.wait(chance.random() / 20)

    def _keep_reading(self, chance: random.Random, number: int) -> None:
        instance = number % self._client.instances
        while not self._stop.is_set():
            outcome = self._client.read(chance.choice(self._customers), instance)
            if isinstance(outcome, Unanswered):
                self.unanswered.append(outcome)
                self._stop.wait(max(self._reader_pause_s, 0.05))
            else:
                self.reads.append(outcome)
                self._stop.wait(self._reader_pause_s)
