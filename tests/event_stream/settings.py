"""Django's settings for the tests of the event layer. Servers come from the environment: see ./manage_scripts/test."""

from datetime import timedelta

from environs import env

from service_kit.auth import AuthSettings
from service_kit.settings.security import Network

SECRET_KEY = "for-tests-only"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES = {"default": env.dj_db_url("DATABASE_URL")}

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "pgtrigger",
    "event_stream",
    "event_stream.dead_letters",
    "event_stream.messaging.cloudevents",
    "event_stream.outbox",
    "event_stream.inbox",
    "event_stream.trace",
    "event_stream.operations",
    "event_stream.metrics",
    "tests.event_stream.demo",
]

CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": env("REDIS_URL"),
        "OPTIONS": {
            "SOCKET_CONNECT_TIMEOUT": 5,
            "SOCKET_TIMEOUT": 5,
            # A test has a thousand threads.
            "CONNECTION_POOL_KWARGS": {"max_connections": 2000},
        },
    }
}

# A run may have no Kafka: what needs one is skipped.
KAFKA_BOOTSTRAP_SERVERS: list[str] = env.list("KAFKA_BOOTSTRAP_SERVERS", ["127.0.0.1:1"])

EVENT_STREAM = {
    "default_binder": "memory",
    "binders": {
        "memory": {"type": "memory"},
        "kafka": {"type": "kafka", "bootstrap_servers": KAFKA_BOOTSTRAP_SERVERS},
    },
    "bindings": {
        "outbound": {"destination": "things"},
        "inbound": {"destination": "things", "group": "readers", "consumer": {"idle_interval_ms": 50}},
    },
}

# A test that is about recording connects its own receivers.
EVENT_STREAM_TRACE = {"record": False}
# Most tests have no database, or one that a transaction hides.
EVENT_STREAM_OPERATIONS = {"reports": False}

# A test that is about tokens sets its own.
AUTH: AuthSettings | None = None
# What services that use service_kit.logins have.
GATEWAYS: tuple[Network, ...] = ()
AXES_COOLOFF_TIME = timedelta(minutes=15)
