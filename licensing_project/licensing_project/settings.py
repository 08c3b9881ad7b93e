"""Settings of the licensing service. All that differs between installations comes from the environment."""

from datetime import timedelta
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from event_stream.web import hardening, messaging
from event_stream.web.auth import from_environment
from event_stream.web.environment import (
    base_url,
    choice,
    count,
    flag,
    number,
    path,
    postgresql,
    redis_url,
    text,
    texts,
)
from event_stream.web.logging import FORMATS, LEVELS, logging_config
from organization_lookup.settings import LookupSettings

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = flag("DEBUG", default=False)
SECRET_KEY = hardening.secret_key(debug=DEBUG)
ALLOWED_HOSTS = hardening.allowed_hosts(debug=DEBUG)
CSRF_TRUSTED_ORIGINS = texts("CSRF_TRUSTED_ORIGINS", "origins such as https://example.org between commas", default=[])

INSTALLED_APPS = [
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
    "event_stream.cloudevents",
    "organization_lookup",
    "licenses",
]

MIDDLEWARE = [
    "event_stream.web.middleware.UserContextMiddleware",
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

ROOT_URLCONF = "licensing_project.urls"
WSGI_APPLICATION = "licensing_project.wsgi.application"
# A redirect to the URL with a slash would lose a body: the API answers both forms itself.
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

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
# The hot read is one statement, ever the same: let the server plan it once a connection.
DATABASES["default"]["OPTIONS"] = {
    "connect_timeout": 5,
    "server_side_binding": True,
    "prepare_threshold": 2,
    **DATABASES["default"].get("OPTIONS", {}),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_TIMEOUT_S = number("REDIS_TIMEOUT_S", 0.5, "seconds")
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": redis_url("REDIS_URL", "a Redis URL such as redis://host:6379/0"),
        "OPTIONS": {
            "SOCKET_CONNECT_TIMEOUT": REDIS_TIMEOUT_S,
            "SOCKET_TIMEOUT": REDIS_TIMEOUT_S,
            "CONNECTION_POOL_KWARGS": {
                "max_connections": count("REDIS_MAX_CONNECTIONS", 100, "connections"),
                # One more try at once, for a pooled connection that the server has closed meanwhile. Not for a server
                # that hangs: it would cost its timeout twice.
                "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            },
        },
    }
}

ORG_CHANGE_PARTITIONS = count("ORG_CHANGE_PARTITIONS", 6, "partitions of the topic")
ORG_CHANGE_TOPIC = text("ORG_CHANGE_TOPIC", "the name of the topic", default="orgChangeTopic")
LICENSING_GROUP = text("LICENSING_GROUP", "the name of the consumer group", default="licensingGroup")
DEAD_LETTER_LIMIT = count("DEAD_LETTER_LIMIT", 100, "messages in a row that may be parked before the worker stops")
EVENT_STREAM = {
    "binders": messaging.binders(rabbitmq={"partitions": ORG_CHANGE_PARTITIONS}),
    "bindings": {
        "inboundOrgChanges": {
            "destination": ORG_CHANGE_TOPIC,
            "group": LICENSING_GROUP,
            "content_type": "application/json",
            "consumer": {"batch_size": 500, "dead_letters": True, "dead_letter_limit": DEAD_LETTER_LIMIT},
            # The worker asks how many partitions there are and parks dead letters, and hears of SIGTERM after that. A
            # dead letter is larger than its message: headers say what happened.
            "producer": {
                "properties": messaging.properties(
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
                "properties": messaging.properties(rabbitmq={"expires_ms": 60_000}),
            },
        },
    },
}

# How organizations are found.
ORGANIZATION_LOOKUP = LookupSettings(
    base_url=base_url("ORGANIZATION_SERVICE_URL", "a URL such as http://gateway:8072/organization"),
    token_file=path("ORGANIZATION_TOKEN_FILE", "the path of a file with this service's own token"),
    bound_s=number("ORGANIZATION_BOUND_S", 10, "seconds"),
    hard_ttl_s=number("ORGANIZATION_HARD_TTL_S", 86_400, "seconds"),
    connect_timeout_s=number("ORGANIZATION_CONNECT_TIMEOUT_S", 0.5, "seconds"),
    read_timeout_s=number("ORGANIZATION_READ_TIMEOUT_S", 1.5, "seconds"),
    budget_s=number("ORGANIZATION_LOOKUP_BUDGET_S", 2.5, "seconds"),
    attempts=count("ORGANIZATION_CALL_ATTEMPTS", 2, "attempts"),
    max_calls=count("ORGANIZATION_MAX_CALLS", 32, "calls at once"),
    circuit_failures=count("ORGANIZATION_CIRCUIT_FAILURES", 5, "failures in a row"),
    circuit_reset_s=number("ORGANIZATION_CIRCUIT_RESET_S", 5, "seconds"),
)

# Whose bearer tokens are believed; None, which is AUTH_REQUIRED=false: the API is open to whoever reaches it.
AUTH = from_environment()
if AUTH is None and ORGANIZATION_LOOKUP.token_file is not None:
    # Whoever comes without a token would read organizations under this service's name.
    raise ImproperlyConfigured("AUTH_ISSUER should be set where ORGANIZATION_TOKEN_FILE is.")

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# Browsers send cookies to every port of a host, and both services are behind one gateway: each has names of its own.
SESSION_COOKIE_NAME = "licensing_session"
CSRF_COOKIE_NAME = "licensing_csrf"
# No page has to read it: each has the token in a form, or in a script of its own.
CSRF_COOKIE_HTTPONLY = True

# What a caller says of its way here (X-Forwarded-For) is believed from these; scheme and prefix are gunicorn's affair,
# by the same variable, so that SECURE_PROXY_SSL_HEADER, which would believe everybody, has no place here.
GATEWAYS = hardening.gateways()
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = hardening.is_https(debug=DEBUG)
SECURE_HSTS_SECONDS = 31_536_000 if SESSION_COOKIE_SECURE else 0
SILENCED_SYSTEM_CHECKS = [
    # Whether all other names of the domain are reached by https is not for a service to say.
    "security.W005",
    "security.W021",
    # Who ends TLS redirects. Inside, the services are asked without it: by probes, by each other.
    "security.W008",
]

AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_FAILURE_LIMIT = count("LOGIN_FAILURE_LIMIT", 10, "wrong passwords from one address")
AXES_COOLOFF_TIME = timedelta(minutes=count("LOGIN_COOLOFF_MIN", 15, "minutes"))
AXES_LOCKOUT_PARAMETERS = ["ip_address"]
AXES_CLIENT_IP_CALLABLE = "event_stream.web.logins.client_address"
AXES_USERNAME_CALLABLE = "event_stream.web.logins.tried_name"
AXES_LOCKOUT_CALLABLE = "event_stream.web.logins.locked_out"
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "licenses.api.hal.HalRenderer",
        "event_stream.web.browsable.BrowsableAPI",
    ],
    "DEFAULT_PARSER_CLASSES": [
        "event_stream.web.parsers.JSONParser",
        # What the forms of the browsable API send.
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "event_stream.web.auth.authentication.BearerAuthentication",
        "licenses.api.authentication.SessionIfAny",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["event_stream.web.auth.permissions.RolesMay"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "licenses.api.negotiation.Negotiation",
    "DEFAULT_METADATA_CLASS": "event_stream.web.metadata.Metadata",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "event_stream.web.pagination.Pages",
    "EXCEPTION_HANDLER": "event_stream.web.problem.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Licensing service",
    "DESCRIPTION": "Licenses of organizations. Each is answered with its organization's name and contact.",
    "VERSION": "1.0.0",
    # Relative to the document, and so true behind a gateway that serves it under a prefix.
    "SERVERS": [{"url": "."}],
    "SERVE_INCLUDE_SCHEMA": False,
    "PREPROCESSING_HOOKS": ["event_stream.web.paths.one_form_of_each_url"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "CAMELIZE_NAMES": True,
}

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ko", "한국어")]
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "event_stream.web.static.PrefixedStaticFilesStorage"},
}
# Straight from the packages: there is nothing to collect before the first start.
WHITENOISE_USE_FINDERS = True

LOGGING = logging_config(choice("LOG_LEVEL", "INFO", LEVELS), choice("LOG_FORMAT", "json", FORMATS), "licensing")
