"""Settings of the audit journal. All that differs between installations comes from the environment."""

from service_kit.logging import FORMATS, LEVELS, logging_config
from service_kit.settings import event_binders, security
from service_kit.settings.environment import choice, count, flag, postgresql, topic

DEBUG = flag("DEBUG", default=False)
SECRET_KEY = security.secret_key(debug=DEBUG)
ALLOWED_HOSTS = security.allowed_hosts(debug=DEBUG)

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "event_stream",
    "event_stream.messaging.cloudevents",
    "event_stream.inbox",
    "journal",
]

MIDDLEWARE = [
    "service_kit.middleware.UserContextMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

ROOT_URLCONF = "audit_journal.urls"

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
    "default": postgresql("DATABASE_URL", "a PostgreSQL URL such as postgresql://user:password@host:5432/journal")
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

EVENT_STREAM = {
    # The only server of a developer's machine is nothing to be warned of.
    "single_server": flag("EVENT_SINGLE_SERVER", default=False),
    "binders": event_binders.binders(),
    "bindings": {
        "journalOrgChanges": {
            "destination": topic("ORG_CHANGE_TOPIC", "the name of the topic", "orgChangeTopic"),
            "group": topic("JOURNAL_GROUP", "the name of the consumer group", "auditJournal"),
            "consumer": {
                # Written wrong today, it is written wrong tomorrow.
                "retry_permanent": ["django.core.exceptions.ValidationError"],
                "dead_letters": True,
                "dead_letter_limit": count("DEAD_LETTER_LIMIT", 100, "messages in a row", maximum=1_000_000),
            },
        },
    },
}

LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"

LOGGING = logging_config(choice("LOG_LEVEL", "INFO", LEVELS), choice("LOG_FORMAT", "json", FORMATS), "audit-journal")
