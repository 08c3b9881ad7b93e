"""What a group has still to handle, and what it could not handle, as the platform tells it.

Platforms are slow to ask: both are asked on a thread of their own, at most every so often, and a scrape waits no longer
than it should for the answer.
"""

import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Generic, TypeVar

from event_stream.conf import Binding, configuration
from event_stream.dead_letters import dead_letter_channel
from event_stream.dead_letters.log import dead_letter_log
from event_stream.errors import EventStreamError, UnavailableError
from event_stream.messaging.binder import BrokerAdmin
from event_stream.messaging.channel import registry
from event_stream.metrics import names
from event_stream.metrics.exposition import Sample

LAG_EVERY_S = 10.0
DEAD_LETTERS_EVERY_S = 60.0
MOST_LETTERS = 10_000
_PATIENCE_S = 1.0
_CLOSE_TIMEOUT_S = 1.0

T = TypeVar("T")


class Refreshed(Generic[T]):
    """A value that takes a while: asked for on a thread, at most every `every_s`, and only while somebody wants it."""

    def __init__(self, ask: Callable[[], T], every_s: float, *, patience_s: float = _PATIENCE_S) -> None:
        self._ask = ask
        self._every_s = every_s
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._asked_s = float("-inf")
        self._answer: tuple[T] | None = None
        self._error: Exception | None = None

    def get(self) -> T:
        """The last answer, if it is the latest and recent. Raises UnavailableError."""
        with self._lock:
            is_asking = self._thread is not None and self._thread.is_alive()
            if not is_asking and time.monotonic() - self._asked_s >= self._every_s:
                self._asked_s = time.monotonic()
                self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
                self._thread.start()
            thread, asked_s = self._thread, self._asked_s
        if thread is not None:
            thread.join(self._patience_s)
        with self._lock:
            if self._error is not None:
                raise UnavailableError(str(self._error)) from self._error
            if self._answer is None or time.monotonic() - asked_s > 2 * self._every_s:
                raise UnavailableError("there is no answer yet")
            return self._answer[0]

    def _run(self) -> None:
        answer, error = None, None
        try:
            answer = (self._ask(),)
        except Exception as raised:  # noqa: BLE001 - it is raised where the answer is wanted
            error = raised
        with self._lock:
            self._answer, self._error = answer, error


class LagSource:
    """How many records wait for the group of a binding."""

    name = "consumer_lag"

    def __init__(self, binding_name: str) -> None:
        self._binding_name = binding_name
        self._waiting = Refreshed(self._ask, LAG_EVERY_S)

    def read(self) -> Iterator[Sample]:
        waiting = self._waiting.get()
        if waiting is not None:
            yield Sample(names.CONSUMER_LAG, waiting, (self._binding_name,))

    def _ask(self) -> int | None:
        """None where the platform does not tell."""
        binding = configuration().binding(self._binding_name)
        binder = registry().binder(binding.binder)
        if not isinstance(binder, BrokerAdmin):
            return None
        group = binder.describe(binding).group
        return None if group is None else group.waiting


class DeadLettersSource:
    """How many dead letters of a binding are open. Reads their whole destination, which is why there is a limit."""

    name = "dead_letters"

    def __init__(self, binding_name: str) -> None:
        self._binding_name = binding_name
        self._open = Refreshed(lambda: _open_letters(configuration().binding(binding_name)), DEAD_LETTERS_EVERY_S)

    def read(self) -> Iterator[Sample]:
        yield Sample(names.DEAD_LETTERS_OPEN, self._open.get(), (self._binding_name,))


def _open_letters(binding: Binding) -> int:
    channel = dead_letter_channel(binding)
    try:
        records = list(islice(channel.read(), MOST_LETTERS + 1))
    finally:
        channel.close(_CLOSE_TIMEOUT_S)
    if len(records) > MOST_LETTERS:
        raise EventStreamError(f"{channel.binding.destination} has more than {MOST_LETTERS:,} records")
    return len(dead_letter_log(records).letters)
