"""kafka-python and pika leave the socket of a connection that failed to the garbage collector, which warns of it."""

import gc
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from event_stream.testing.waiting import wait_until

# For a test in the course of which the collector may run.
lets_sockets_leak = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@contextmanager
def failed_connections() -> Iterator[None]:
    """Around a test whose broker is away: waits for the attempts to end, and collects what they left."""
    loggers = [logging.getLogger(name) for name in ("kafka", "pika")]
    levels = [logger.level for logger in loggers]
    # A record that pytest has captured holds the error, and with it the socket.
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
        wait_until(lambda: not any(it.name == "kafka-connect" for it in threading.enumerate()), "attempts ended")
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        # What one round finalizes may be what kept more from being found.
        while gc.collect():
            pass
