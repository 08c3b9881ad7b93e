"""How gunicorn serves either service: `python deploy/gunicorn/serve.py org_project.wsgi`.

Read from the environment: BIND, WEB_CONCURRENCY (processes), WEB_THREADS (threads a process), WEB_TIMEOUT_S,
WEB_GRACEFUL_TIMEOUT_S, WEB_READ_TIMEOUT_S (for the head of a request, and again for its body), ACCESS_LOG, METRICS,
LOG_LEVEL, LOG_FORMAT, SERVICE_NAME, FORWARDED_ALLOW_IPS. SIGHUP reads it all again and replaces the workers one by one,
and each ends what it has begun.
"""

import gc
import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from service_kit.logging import FORMATS, LEVELS, logging_config
from service_kit.settings.environment import bind_address, choice, count, flag, text
from service_kit.settings.security import gateways


def _cores() -> int:
    """The cores this process may use; a container's CPU quota is not among what the system says here."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


try:
    bind = bind_address("BIND", "127.0.0.1:8000")
    workers = count("WEB_CONCURRENCY", _cores(), "processes", maximum=256)
    threads = count("WEB_THREADS", 4, "threads a process", maximum=256)
    timeout = count("WEB_TIMEOUT_S", 30, "seconds", maximum=3600)
    # Below the 30 s after which an orchestrator kills.
    graceful_timeout = count("WEB_GRACEFUL_TIMEOUT_S", 25, "seconds", minimum=0, maximum=3600)
    _read_timeout_s = count("WEB_READ_TIMEOUT_S", 20, "seconds", maximum=3600)
    # Off: the gateway writes a line for every request, with the same correlation id, and at no cost to the lookup.
    accesslog = "-" if flag("ACCESS_LOG", default=False) else None
    _metrics = flag("METRICS", default=True)
    _level = choice("LOG_LEVEL", "INFO", LEVELS)
    _service = text("SERVICE_NAME", "the name of the service in its log", default="gunicorn")
    logconfig_dict = logging_config(_level, choice("LOG_FORMAT", "json", FORMATS), _service)
    # gunicorn reads it by itself, and less strictly.
    gateways()
except ImproperlyConfigured as error:
    # An exception would be shown as a traceback through gunicorn's own code.
    raise SystemExit(f"gunicorn can't start: {error}") from None

# With it comes gunicorn, which reads WEB_CONCURRENCY as it is imported.
from service_kit import gunicorn_metrics  # noqa: E402
from service_kit.gunicorn_balance import assign_number  # noqa: E402
from service_kit.gunicorn_worker import HealthThreadWorker  # noqa: E402

HealthThreadWorker.read_timeout_s = _read_timeout_s
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


pre_fork = assign_number
if _metrics:
    on_starting = gunicorn_metrics.make_directory
    post_fork = gunicorn_metrics.use_number
    child_exit = gunicorn_metrics.remove_gauges
    on_exit = gunicorn_metrics.remove_directory


def post_worker_init(worker: object) -> None:
    """Freezes what is loaded by now: a full garbage collection, 50 ms, would hold up every request of the process."""
    gc.collect()
    gc.freeze()
