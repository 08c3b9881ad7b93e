"""How gunicorn serves either service: `gunicorn --config deploy/gunicorn/gunicorn.conf.py org_project.wsgi`.

Read from the environment: BIND, WEB_CONCURRENCY (processes), WEB_THREADS (threads a process), WEB_TIMEOUT_S,
WEB_GRACEFUL_TIMEOUT_S, WEB_READ_TIMEOUT_S (for the head of a request, and again for its body), ACCESS_LOG, METRICS,
LOG_LEVEL, LOG_FORMAT, SERVICE_NAME, FORWARDED_ALLOW_IPS. SIGHUP reads it all again and replaces the workers one by one,
and each ends what it has begun.
"""

import gc
import os
from pathlib import Path

from environs import Env, EnvError, validate

from event_stream.errors import ConfigurationError
from service_kit import gunicorn_metrics
from service_kit.gunicorn_worker import HealthThreadWorker
from service_kit.logging import logging_config

env = Env()


def _cores() -> int:
    """The cores this process may use; a container's CPU quota is not among what the system says here."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not text.startswith("unix:") and not (host and port.isdigit() and 0 < int(port) < 65536):
        raise validate.ValidationError("should be host:port, or unix:path")
    return text


try:
    bind = env.str("BIND", "127.0.0.1:8000", validate=_address)
    workers = env.int("WEB_CONCURRENCY", _cores(), validate=validate.Range(min=1, max=256))
    threads = env.int("WEB_THREADS", 4, validate=validate.Range(min=1, max=256))
    timeout = env.int("WEB_TIMEOUT_S", 30, validate=validate.Range(min=1))
    # Below the 30 s after which an orchestrator kills.
    graceful_timeout = env.int("WEB_GRACEFUL_TIMEOUT_S", 25, validate=validate.Range(min=0))
    HealthThreadWorker.read_timeout_s = env.int("WEB_READ_TIMEOUT_S", 20, validate=validate.Range(min=1, max=3600))
    # Off: the gateway writes a line for every request, with the same correlation id, and at no cost to the lookup.
    accesslog = "-" if env.bool("ACCESS_LOG", False) else None
    _metrics = env.bool("METRICS", True)
    _level = env.str("LOG_LEVEL", "INFO")
    logconfig_dict = logging_config(_level, env.str("LOG_FORMAT", "json"), env.str("SERVICE_NAME", "gunicorn"))
except (EnvError, ConfigurationError) as error:
    # An exception would be shown as a traceback through gunicorn's own code.
    raise SystemExit(f"gunicorn can't start: {error}") from None

worker_class = "service_kit.gunicorn_worker.HealthThreadWorker"
# Longer than the gateway keeps its idle connections: the side that reuses them must be the one that closes them.
keepalive = 75
# SCRIPT_NAME is the gateway's prefix (/organization): with it every absolute link is true. It and X-Forwarded-Proto
# are believed from FORWARDED_ALLOW_IPS (addresses or networks; gunicorn reads it itself) and dropped from all others.
forwarder_headers = "SCRIPT_NAME"
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}

limit_request_line = 8190
limit_request_fields = 64
limit_request_field_size = 8190

# The workers' heartbeat is a file; on a disk that is busy it can be late, and the worker is taken for dead.
if Path("/dev/shm").is_dir() and os.access("/dev/shm", os.W_OK):  # noqa: S108 - gunicorn makes a file of its own there
    worker_tmp_dir = "/dev/shm"  # noqa: S108

# The relay of the outbox is a thread that wsgi.py starts: it would not outlive the fork of a preloaded application.
preload_app = False
# Nothing here uses it, and it would be a socket in somebody's home folder.
control_socket_disable = True

loglevel = _level.lower()
logger_class = "service_kit.gunicorn_logging.EventLogger"


if _metrics:
    on_starting = gunicorn_metrics.make_directory
    pre_fork = gunicorn_metrics.assign_number
    post_fork = gunicorn_metrics.use_number
    child_exit = gunicorn_metrics.remove_gauges
    on_exit = gunicorn_metrics.remove_directory


def post_worker_init(worker: object) -> None:
    """Freezes what is loaded by now: a full garbage collection, 50 ms, would hold up every request of the process."""
    gc.collect()
    gc.freeze()
