"""Settings that every service behind the gateway shares. Use: `from service_kit.settings.base import *`.

A service adds its applications, middleware and databases, and the names of its cookies.
"""

from datetime import timedelta

from django.core.exceptions import ImproperlyConfigured

from service_kit.auth import from_environment
from service_kit.logging import LEVELS
from service_kit.settings import security
from service_kit.settings.environment import address, choice, count, flag, number, origins, seconds
from service_kit.settings.refresh_scope import refreshable

DEBUG = flag("DEBUG", default=False)
SECRET_KEY = security.secret_key(debug=DEBUG)
ALLOWED_HOSTS = security.allowed_hosts(debug=DEBUG)
CSRF_TRUSTED_ORIGINS = origins("CSRF_TRUSTED_ORIGINS")

# A redirect to the URL with a slash would lose the body, so the API serves both forms.
APPEND_SLASH = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "UTC"

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

STATIC_URL = "/static/"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "service_kit.static_files.PrefixedStaticFilesStorage"},
}
# Serve files from the packages, so that nothing has to be collected before the first start.
WHITENOISE_USE_FINDERS = True
# The names do not change with the content.
WHITENOISE_MAX_AGE = 600

# For processes that answer requests, on each connection to the database: see service_kit.database.
DATABASE_LOCK_TIMEOUT_S = seconds("DATABASE_LOCK_TIMEOUT_S", 3)
DATABASE_STATEMENT_TIMEOUT_S = seconds("DATABASE_STATEMENT_TIMEOUT_S", 20)

security.check_authorities()

LOG_LEVEL = refreshable("LOG_LEVEL", lambda: choice("LOG_LEVEL", "INFO", LEVELS))

# What the operations pages are drawn from: each process writes a few rows.
EVENT_STREAM_OPERATIONS = {
    "sample_interval_s": seconds("OPERATIONS_SAMPLE_INTERVAL_S", 60, maximum=3600),
    "retention_days": number("OPERATIONS_RETENTION_DAYS", 7, "days", minimum=0.01, maximum=3650),
}

# Whether the processes count what they do, for Prometheus: `/metrics`.
METRICS = flag("METRICS", default=True)
PROBES_BIND = address("PROBES_BIND", "host:port, such as 0.0.0.0:9100, where a worker or a relay answers probes")
if PROBES_BIND is not None and not METRICS:
    raise ImproperlyConfigured("PROBES_BIND should not be set where METRICS is false.")
EVENT_STREAM_METRICS = {} if PROBES_BIND is None else {"probes": PROBES_BIND}

# The accepted bearer tokens. None (AUTH_REQUIRED=false) opens the API to everybody who can reach it.
AUTH = from_environment()

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# No page has to read the cookie: each has the token in a form, or in its own script.
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "service_kit.problem_details.csrf_failure"

# X-Forwarded-For is trusted from these networks only; scheme and prefix are gunicorn's affair,
# by the same variable, so that SECURE_PROXY_SSL_HEADER, which would believe everybody, has no place here.
GATEWAYS = security.gateways()
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = security.is_https(debug=DEBUG)
SECURE_HSTS_SECONDS = 31_536_000 if SESSION_COOKIE_SECURE else 0
SILENCED_SYSTEM_CHECKS = [
    # A service can't decide whether all other names of the domain use https.
    "security.W005",
    "security.W021",
    # The proxy that terminates TLS redirects. Probes and the other service call this one without TLS.
    "security.W008",
]

SESSION_ENGINE = "service_kit.sessions"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_FAILURE_LIMIT = refreshable(
    "AXES_FAILURE_LIMIT",
    lambda: count("LOGIN_FAILURE_LIMIT", 10, "wrong passwords from one address", maximum=1_000_000),
)
AXES_COOLOFF_TIME = refreshable(
    "AXES_COOLOFF_TIME", lambda: timedelta(minutes=count("LOGIN_COOLOFF_MIN", 15, "minutes", maximum=525_600))
)
AXES_LOCKOUT_PARAMETERS = ["ip_address"]
AXES_CLIENT_IP_CALLABLE = "service_kit.logins.client_address"
AXES_USERNAME_CALLABLE = "service_kit.logins.tried_name"
AXES_LOCKOUT_CALLABLE = "service_kit.logins.locked_out"
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "service_kit.rest_framework.BrowsableAPI",
    ],
    "DEFAULT_PARSER_CLASSES": [
        "service_kit.rest_framework.JSONParser",
        # The content types of the browsable API's forms.
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "service_kit.auth.authentication.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["service_kit.auth.permissions.HasRequiredRole"],
    "DEFAULT_METADATA_CLASS": "service_kit.rest_framework.Metadata",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "service_kit.pagination.Pages",
    "EXCEPTION_HANDLER": "service_kit.problem_details.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SPECTACULAR_SETTINGS = {
    "VERSION": "1.0.0",
    # Relative to the document, so that it is right behind a gateway with a prefix.
    "SERVERS": [{"url": "."}],
    "SERVE_INCLUDE_SCHEMA": False,
    "PREPROCESSING_HOOKS": ["service_kit.urls.one_form_of_each_url"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "CAMELIZE_NAMES": True,
}
