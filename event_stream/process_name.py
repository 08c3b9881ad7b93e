"""What this process is called where several are told apart: in traces and in the outbox."""

import os
import socket

_HOST = socket.gethostname()


def process_name() -> str:
    """Return `host:pid`."""
    return f"{_HOST}:{os.getpid()}"
