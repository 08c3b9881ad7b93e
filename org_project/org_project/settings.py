"""Settings of the organization service. Everything that differs between installations comes from the environment."""

from pathlib import Path

from organizations import outbound
from service_kit.logging import FORMATS, logging_config
from service_kit.settings import base, event_binders, trace
from service_kit.settings.base import *  # noqa: F403 - Django's settings are a module's names
from service_kit.settings.environment import choice, count, flag, is_set, postgresql, topic
from service_kit.settings.refresh_scope import refreshable

BASE_DIR = Path(__file__).resolve().parent.parent

# What its log lines and its spans name it.
SERVICE_NAME = "organization"

INSTALLED_APPS = [
    # Its templates go before those of the others.
    "service_kit",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "pgtrigger",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "event_stream",
    "event_stream.messaging.cloudevents",
    "event_stream.otel",
    "event_stream.outbox",
    "event_stream.trace",
    "event_stream.operations",
    "organizations",
]

MIDDLEWARE = [
    "service_kit.middleware.UserContextMiddleware",
    "service_kit.middleware.ReadableRequestMiddleware",
    "service_kit.middleware.MethodNotAllowedMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

if base.METRICS:
    INSTALLED_APPS.append("event_stream.metrics")
    # First, so that it measures what the others do as well.
    MIDDLEWARE.insert(0, "service_kit.metrics.MetricsMiddleware")

ROOT_URLCONF = "org_project.urls"
WSGI_APPLICATION = "org_project.wsgi.application"

DATABASES = {
    "default": postgresql(
        "DATABASE_URL",
        "a PostgreSQL URL such as postgresql://user:password@host:5432/organization",
        conn_max_age=None,
        # One short statement per request, so that a restart of PostgreSQL fails no request.
        conn_health_checks=True,
    )
}
DATABASES["default"]["OPTIONS"] = {"connect_timeout": 5, **DATABASES["default"].get("OPTIONS", {})}
# A cursor on the server outlives its transaction, and a pooler in transaction mode has another session by then.
DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True
if is_set("OUTBOX_DATABASE_URL"):
    # The relay's way to the same database where DATABASE_URL leads to a pooler: it needs a session of its own.
    DATABASES["outbox"] = postgresql(
        "OUTBOX_DATABASE_URL", "the PostgreSQL URL of DATABASE_URL's database, no pooler's"
    )
    DATABASES["outbox"]["TEST"] = {"MIRROR": "default"}

# The format of events on the topic. Licensing reads every format.
_ACTIONS = outbound.ACTIONS[choice("ORG_CHANGE_ACTIONS", "standard", tuple(outbound.ACTIONS))]
_FORMAT = outbound.FORMATS[choice("ORG_CHANGE_FORMAT", "json", tuple(outbound.FORMATS))]
EVENT_STREAM = {
    # The only server of a developer's machine is nothing to be warned of.
    "single_server": flag("EVENT_SINGLE_SERVER", default=False),
    # Kafka and Redis know the topic's number of partitions; RabbitMQ needs it here and in licensing.
    "binders": event_binders.binders(
        rabbitmq={"partitions": count("ORG_CHANGE_PARTITIONS", 6, "partitions of the topic", maximum=10_000)}
    ),
    "bindings": {
        "outboundOrgChanges": {
            "destination": topic("ORG_CHANGE_TOPIC", "the name of the topic", "orgChangeTopic"),
            "content_type": _FORMAT.content_type,
            "header_format": _FORMAT.header_format,
            "producer": {
                "heartbeat": "organizations.events.heartbeat",
                "fallback_message": "organizations.events.fallback_message",
                "interceptors": [*_ACTIONS, *_FORMAT.interceptors],
            },
        },
    },
}
EVENT_STREAM_OUTBOX = {
    "embedded": flag("OUTBOX_EMBEDDED", default=True),
    "database": "outbox" if "outbox" in DATABASES else "default",
}

EVENT_STREAM_TRACE = {
    "service": "organization",
    "key_name": "organization",
    **trace.environment(),
}

# Whether reading an organization emits an event too (ActionEnum GET). Each read is then also a write.
ORGANIZATION_PUBLISH_READS = refreshable(
    "ORGANIZATION_PUBLISH_READS", lambda: flag("ORGANIZATION_PUBLISH_READS", default=False)
)

# Browsers send cookies to every port of a host, and both services are behind one gateway, so the names differ.
SESSION_COOKIE_NAME = "organization_session"
CSRF_COOKIE_NAME = "organization_csrf"

SPECTACULAR_SETTINGS = {
    **base.SPECTACULAR_SETTINGS,
    "TITLE": "Organization service",
    "DESCRIPTION": "The owner of organizations. Every change of one is published as an event.",
}

LOGGING = logging_config(base.LOG_LEVEL, choice("LOG_FORMAT", "json", FORMATS), SERVICE_NAME)
