"""The demo of web_demo.py under WSGI, for gunicorn. Needs no database."""

import os

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application

from event_stream import signals
from service_kit.logging import logging_config
from tests.event_stream import web_settings

settings.configure(
    SECRET_KEY="for a test alone",
    AUTH=None,
    ALLOWED_HOSTS=["127.0.0.1"],
    INSTALLED_APPS=["rest_framework", "event_stream.metrics"],
    MIDDLEWARE=[
        "service_kit.metrics.MetricsMiddleware",
        "service_kit.middleware.ReadableRequestMiddleware",
        *web_settings.MIDDLEWARE,
    ],
    REST_FRAMEWORK=web_settings.REST_FRAMEWORK,
    ROOT_URLCONF=web_settings.ROOT_URLCONF,
    LOGGING=logging_config("INFO", os.environ.get("LOG_FORMAT", "json"), "demo"),
)
django.setup()
application = get_wsgi_application()
# A gauge, for the tests of what becomes of it when a process dies.
signals.circuit_changed.send_robust(None, circuit="demo", is_open=True)
