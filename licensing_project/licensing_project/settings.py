"""Settings of the licensing service. All that differs between installations comes from the environment."""

from dataclasses import asdict
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from organization_lookup.settings import consumer_limits, lookup_settings
from service_kit.logging import FORMATS, logging_config
from service_kit.settings import base, event_binders, trace
from service_kit.settings.base import *  # noqa: F403 - Django's settings are a module's names
from service_kit.settings.environment import choice, count, flag, postgresql, redis_servers, seconds, topic
from service_kit.settings.redis_cache import redis_cache
from service_kit.settings.refresh_scope import refreshable

BASE_DIR = Path(__file__).resolve().parent.parent

# What its log lines and its spans name it.
SERVICE_NAME = "licensing"

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
    "event_stream.dead_letters",
    "event_stream.messaging.cloudevents",
    "event_stream.trace",
    "event_stream.otel",
    "event_stream.operations",
    "organization_lookup",
    "licenses",
]

MIDDLEWARE = [
    "service_kit.middleware.UserContextMiddleware",
    "licenses.api.hot_lookup.HotLookupMiddleware",
    "service_kit.middleware.ReadableRequestMiddleware",
    "service_kit.middleware.MethodNotAllowedMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
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

ROOT_URLCONF = "licensing_project.urls"
WSGI_APPLICATION = "licensing_project.wsgi.application"

DATABASES = {
    "default": postgresql(
        "DATABASE_URL",
        "a PostgreSQL URL such as postgresql://user:password@host:5432/licensing",
        conn_max_age=None,
        # One short statement a request, so that a restart of PostgreSQL costs no request. The hot read does without it
        # (licenses.selectors).
        conn_health_checks=True,
    )
}
# As Django does it by default, no statement is prepared on the server: decision 0056.
DATABASES["default"]["OPTIONS"] = {"connect_timeout": 5, **DATABASES["default"].get("OPTIONS", {})}
# A cursor on the server outlives its transaction, and a pooler in transaction mode has another session by then.
DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True

REDIS_TIMEOUT_S = seconds("REDIS_TIMEOUT_S", 0.5)
CACHES = {
    "default": redis_cache(
        redis_servers("REDIS_URL", "a Redis URL such as redis://host:6379/0"),
        timeout_s=REDIS_TIMEOUT_S,
        max_connections=count("REDIS_MAX_CONNECTIONS", 100, "connections", maximum=100_000),
    )
}

ORG_CHANGE_PARTITIONS = count("ORG_CHANGE_PARTITIONS", 6, "partitions of the topic", maximum=10_000)
ORG_CHANGE_TOPIC = topic("ORG_CHANGE_TOPIC", "the name of the topic", "orgChangeTopic")
LICENSING_GROUP = topic("LICENSING_GROUP", "the name of the consumer group", "licensingGroup")
CONSUMER_LIMITS = refreshable("CONSUMER_LIMITS", consumer_limits)
EVENT_STREAM = {
    # The only server of a developer's machine is nothing to be warned of.
    "single_server": flag("EVENT_SINGLE_SERVER", default=False),
    "binders": event_binders.binders(rabbitmq={"partitions": ORG_CHANGE_PARTITIONS}),
    "bindings": {
        "inboundOrgChanges": {
            "destination": ORG_CHANGE_TOPIC,
            "group": LICENSING_GROUP,
            "content_type": "application/json",
            "consumer": {"batch_size": 500, "dead_letters": True, **asdict(CONSUMER_LIMITS)},
            # The worker asks how many partitions there are and parks dead letters, and hears of SIGTERM after that. A
            # dead letter is larger than its message: headers say what happened.
            "producer": {
                "properties": event_binders.properties(
                    kafka={
                        "max_block_ms": 500,
                        "request_timeout_ms": 1_000,
                        "delivery_timeout_ms": 1_500,
                        "max_request_size": 2_097_152,
                    },
                    rabbitmq={"max_block_ms": 500, "delivery_timeout_ms": 1_500},
                    redis={"max_block_ms": 500, "connect_timeout_ms": 500, "request_timeout_ms": 1_000},
                )
            },
        },
        # `cache_audit` gets a copy of each message for itself.
        "auditOrgChanges": {
            "destination": ORG_CHANGE_TOPIC,
            "group": f"{LICENSING_GROUP}.audit",
            "content_type": "application/json",
            "consumer": {
                "batch_size": 500,
                # Its queues would fill for ever once nobody reads them.
                "properties": event_binders.properties(rabbitmq={"expires_ms": 60_000}),
            },
        },
    },
}

# How organizations are found.
ORGANIZATION_LOOKUP = refreshable("ORGANIZATION_LOOKUP", lookup_settings)

EVENT_STREAM_TRACE = {
    "service": "licensing",
    "key_name": "organization",
    "consumes": ["inboundOrgChanges"],
    "cache": "organization_lookup.lookup.current_cache",
    **trace.environment(),
}

if base.AUTH is None and ORGANIZATION_LOOKUP.token_file is not None:
    # Whoever comes without a token would read organizations under this service's name.
    raise ImproperlyConfigured("AUTH_ISSUER should be set where ORGANIZATION_TOKEN_FILE is.")

# Browsers send cookies to every port of a host, and both services are behind one gateway: each has names of its own.
SESSION_COOKIE_NAME = "licensing_session"
CSRF_COOKIE_NAME = "licensing_csrf"

REST_FRAMEWORK = {
    **base.REST_FRAMEWORK,
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "licenses.api.renderers.HalRenderer",
        "service_kit.rest_framework.BrowsableAPI",
    ],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "service_kit.auth.authentication.BearerAuthentication",
        "licenses.api.authentication.SessionIfAny",
    ],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "licenses.api.renderers.Negotiation",
}

SPECTACULAR_SETTINGS = {
    **base.SPECTACULAR_SETTINGS,
    "TITLE": "Licensing service",
    "DESCRIPTION": "Licenses of organizations. Each is answered with its organization's name and contact.",
}

LANGUAGES = [("en", "English"), ("ko", "한국어")]

LOGGING = logging_config(base.LOG_LEVEL, choice("LOG_FORMAT", "json", FORMATS), SERVICE_NAME)
