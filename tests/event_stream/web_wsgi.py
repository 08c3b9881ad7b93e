"""The demo of web_demo.py under WSGI, for gunicorn. Needs no database."""

import os

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application

from service_kit.logging import logging_config
from tests.event_stream import web_settings

settings.configure(
    SECRET_KEY="for a test alone",
    ALLOWED_HOSTS=["127.0.0.1"],
    INSTALLED_APPS=["rest_framework"],
    MIDDLEWARE=["service_kit.middleware.ReadableRequestMiddleware", *web_settings.MIDDLEWARE],
    REST_FRAMEWORK=web_settings.REST_FRAMEWORK,
    ROOT_URLCONF=web_settings.ROOT_URLCONF,
    LOGGING=logging_config("INFO", os.environ.get("LOG_FORMAT", "json"), "demo"),
)
django.setup()
application = get_wsgi_application()
