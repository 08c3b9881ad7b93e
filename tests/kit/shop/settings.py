"""A project that uses the plugin; run by test_pytest_plugin.py in a pytest of its own."""

SECRET_KEY = "for-tests-only"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["event_stream", "shop"]
EVENT_STREAM = {
    # Nothing listens there, and nothing is asked.
    "binders": {"kafka": {"type": "kafka", "bootstrap_servers": ["127.0.0.1:1"]}},
    "bindings": {
        "outboundOrders": {"destination": "orders", "producer": {"properties": {"max_block_ms": 100}}},
        "inboundOrders": {"destination": "orders", "group": "billing"},
    },
}
