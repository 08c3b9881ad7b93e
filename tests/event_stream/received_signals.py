"""What a Django signal was sent with, for the length of a block."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.dispatch import Signal


@contextmanager
def received(signal: Signal) -> Iterator[list[dict[str, Any]]]:
    """Yield the arguments of each time that it is sent, without `signal` and `sender`."""
    calls: list[dict[str, Any]] = []

    def receiver(signal: Signal, sender: object, **arguments: Any) -> None:
        calls.append(arguments)

    signal.connect(receiver)
    try:
        yield calls
    finally:
        signal.disconnect(receiver)
