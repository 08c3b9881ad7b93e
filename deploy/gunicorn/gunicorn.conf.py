"""How gunicorn serves either service: `python deploy/gunicorn/serve.py org_project.wsgi`.

`service_kit.gunicorn_settings` reads the environment. SIGHUP reads CONFIG_FILE again and replaces the workers one by
one, and each ends what it has begun.
"""

import gc
import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from service_kit.gunicorn_settings import serve, web_settings
from service_kit.logging import logging_config

try:
    _web = web_settings()
except ImproperlyConfigured as error:
    # An exception would be shown as a traceback through gunicorn's own code.
    raise SystemExit(f"gunicorn can't start: {error}") from None

bind, workers, threads = _web.bind, _web.workers, _web.threads
timeout, graceful_timeout = _web.timeout_s, _web.graceful_timeout_s
# Off: the gateway writes a line for every request, with the same correlation id, and at no cost to the lookup.
accesslog = "-" if _web.access_log else None
logconfig_dict = logging_config(_web.log_level, _web.log_format, _web.service_name)
forwarded_allow_ips = _web.gateways
when_ready = serve

# With it comes gunicorn, which reads WEB_CONCURRENCY as it is imported.
from service_kit import gunicorn_metrics  # noqa: E402
from service_kit.gunicorn_balance import assign_number  # noqa: E402
from service_kit.gunicorn_worker import HealthThreadWorker  # noqa: E402

HealthThreadWorker.read_timeout_s = _web.read_timeout_s
worker_class = "service_kit.gunicorn_worker.HealthThreadWorker"
# Longer than the gateway keeps its idle connections: the side that reuses them must be the one that closes them.
keepalive = 75
# SCRIPT_NAME is the gateway's prefix (/organization): with it every absolute link is true. It and X-Forwarded-Proto
# are believed from FORWARDED_ALLOW_IPS (addresses or networks) and dropped from all others.
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

loglevel = _web.log_level.lower()
logger_class = "service_kit.gunicorn_logging.EventLogger"


pre_fork = assign_number
if _web.metrics:
    on_starting = gunicorn_metrics.make_directory
    post_fork = gunicorn_metrics.use_number
    child_exit = gunicorn_metrics.remove_gauges
    on_exit = gunicorn_metrics.remove_directory


def post_worker_init(worker: object) -> None:
    """Freezes what is loaded by now: a full garbage collection, 50 ms, would hold up every request of the process."""
    gc.collect()
    gc.freeze()
