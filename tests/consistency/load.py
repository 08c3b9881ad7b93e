"""Clients that write and read at random for a while, and write down what they saw."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from types import TracebackType
from typing import Self

from tests.consistency.history import Read, Write
from tests.e2e.world import Customer, World, fresh

WRITERS = 2
READERS = 6


class Load:
    """Runs between enter and exit. Each organization has one writer: its versions are in the order of writes."""

    def __init__(self, world: World, customers: Sequence[Customer]) -> None:
        self._world = world
        self._customers = customers
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(WRITERS + READERS)
        self._clients: list[Future[None]] = []
        self.writes: list[Write] = []
        self.reads: list[Read] = []

    def __enter__(self) -> Self:
        for customer in self._customers:
            self.writes.append(write(self._world, customer))
        for number in range(WRITERS):
            self._clients.append(
                self._pool.submit(self._write, random.Random(number), self._customers[number::WRITERS])
            )
        for number in range(READERS):
            self._clients.append(self._pool.submit(self._read, random.Random(number), number))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._pool.shutdown()
        if error is None:
            for client in self._clients:
                client.result()

    def after(self, reads: int) -> Callable[[], bool]:
        """Whether this many more reads have been made since now."""
        wanted = len(self.reads) + reads
        return lambda: len(self.reads) >= wanted or any(client.done() for client in self._clients)

    def _write(self, chance: random.Random, customers: Sequence[Customer]) -> None:
        while not self._stop.is_set():
            self.writes.append(write(self._world, chance.choice(customers)))
            self._stop.wait(chance.random() / 20)

    def _read(self, chance: random.Random, number: int) -> None:
        instance = number % len(self._world.platform.licensing_urls)
        while not self._stop.is_set():
            self.reads.append(read(self._world, chance.choice(self._customers), instance))


def write(world: World, customer: Customer) -> Write:
    began_s = time.time()
    answer = world.change(customer, fresh("contact"))
    return Write(customer.id, int(answer.headers["Organization-Version"]), began_s, time.time())


def read(world: World, customer: Customer, instance: int) -> Read:
    began_s = time.time()
    found = world.lookup(customer, instance)
    answered_s = time.time()
    fresh_at_s = datetime.fromisoformat(found.headers["Organization-Fresh-At"]).timestamp()
    return Read(customer.id, found.version, began_s, answered_s, fresh_at_s, found.cache)
