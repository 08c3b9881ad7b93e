"""What gunicorn itself reads from the environment and CONFIG_FILE: at its start, and again on SIGHUP.

A wrong value ends the start. On SIGHUP it changes nothing, where gunicorn would end: its workers are replaced, and the
log says what is wrong. The new workers read everything but what only a restart applies.
"""

import os
from dataclasses import dataclass
from typing import Any, cast

from service_kit.logging import FORMATS, LEVELS
from service_kit.settings.environment import bind_address, choice, count, flag, text
from service_kit.settings.refresh_scope import refresh, refreshable, value_of
from service_kit.settings.security import gateways
from service_kit.settings.sources import scope

_SCOPE = "GUNICORN"
_serves = False


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Times in seconds."""

    bind: str
    metrics: bool
    log_format: str
    service_name: str
    gateways: str
    """Whose forwarded headers are believed, between commas."""
    workers: int
    threads: int
    timeout_s: int
    graceful_timeout_s: int
    read_timeout_s: int
    access_log: bool
    log_level: str


def web_settings() -> WebSettings:
    """Return what holds from now on. Raises ImproperlyConfigured, but not once gunicorn serves."""
    if not _serves:
        return refreshable(_SCOPE, _read)
    refresh("SIGHUP")
    return cast(WebSettings, value_of(_SCOPE))


def serve(_server: Any) -> None:
    """`when_ready`."""
    global _serves  # noqa: PLW0603 - one for each process
    _serves = True


def _cores() -> int:
    """The cores this process may use; a container's CPU quota is not among what the system says here."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read() -> WebSettings:
    with scope(None):
        bind = bind_address("BIND", "127.0.0.1:8000")
        metrics = flag("METRICS", default=True)
        log_format = choice("LOG_FORMAT", "json", FORMATS)
        service_name = text("SERVICE_NAME", "the name of the service in its log", default="gunicorn")
        networks = ",".join(map(str, gateways()))
    return WebSettings(
        bind=bind,
        metrics=metrics,
        log_format=log_format,
        service_name=service_name,
        gateways=networks,
        workers=count("WEB_CONCURRENCY", _cores(), "processes", maximum=256),
        threads=count("WEB_THREADS", 4, "threads a process", maximum=256),
        timeout_s=count("WEB_TIMEOUT_S", 30, "seconds", maximum=3600),
        # Below the 30 s after which an orchestrator kills.
        graceful_timeout_s=count("WEB_GRACEFUL_TIMEOUT_S", 25, "seconds", minimum=0, maximum=3600),
        read_timeout_s=count("WEB_READ_TIMEOUT_S", 20, "seconds", maximum=3600),
        access_log=flag("ACCESS_LOG", default=False),
        log_level=choice("LOG_LEVEL", "INFO", LEVELS),
    )
