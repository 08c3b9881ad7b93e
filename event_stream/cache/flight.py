"""Threads of one process that want the same at the same time: one works, the others wait for what it gets."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Flights(Generic[T]):
    """At most one piece of work is under way for a key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[T]] = {}

    def join(self, key: str, work: Callable[[], T]) -> "Future[T]":
        """The future of the work: done where this caller was the one to do it, else of whoever does it.

        Cancelled where that thread was stopped in the middle (SystemExit and the like).
        """
        with self._lock:
            flight = self._under_way.get(key)
            if flight is not None:
                return flight
            flight = self._under_way[key] = Future()
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - it is raised in every thread that asks for the result
            self._land(key)
            flight.set_exception(error)
        except BaseException:
            self._land(key)
            flight.cancel()
            flight.set_running_or_notify_cancel()
            raise
        else:
            self._land(key)
            flight.set_result(result)
        return flight

    def _land(self, key: str) -> None:
        """Whoever comes from now on begins anew."""
        with self._lock:
            del self._under_way[key]
