"""A relay inside of the web process, so that a service needs no further process to publish.

Call `start` in wsgi.py. Servers that load the application before they fork (gunicorn's preload) have to call it after
the fork instead: a thread does not go along.
"""

import atexit
import threading

from event_stream.outbox.relay import Relay
from event_stream.outbox.settings import outbox_settings
from event_stream.outbox.thread import RelayThread

STOP_TIMEOUT_S = 1.5
RESTART_S = 5.0

_lock = threading.Lock()
_thread: RelayThread | None = None


def start() -> None:
    """Start this process' relay, unless it runs already or EVENT_STREAM_OUTBOX["embedded"] is false.

    It ends with the process. Raises ImproperlyConfigured for a wrong setting.
    """
    global _thread  # noqa: PLW0603 - one for each process
    settings = outbox_settings()
    with _lock:
        if not settings.embedded or is_running():
            return
        _thread = RelayThread(Relay(settings), restart_s=RESTART_S)
        _thread.start()
        atexit.register(stop)


def stop() -> None:
    """Let another process' relay take over. Harmless where none runs."""
    with _lock:
        if _thread is not None:
            _thread.stop(STOP_TIMEOUT_S)
    atexit.unregister(stop)


def is_running() -> bool:
    return _thread is not None and _thread.is_alive()
