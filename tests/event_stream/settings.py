"""Django's settings for the tests of the event layer. Servers come from the environment: see ./manage_scripts/test."""

from environs import env

SECRET_KEY = "for-tests-only"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES = {"default": env.dj_db_url("DATABASE_URL")}

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "pgtrigger",
    "event_stream",
    "event_stream.outbox",
    "tests.event_stream.demo",
]

KAFKA_BOOTSTRAP_SERVERS = env.list("KAFKA_BOOTSTRAP_SERVERS")

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
