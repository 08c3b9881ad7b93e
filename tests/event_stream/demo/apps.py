"""The tests' own Django app."""

from django.apps import AppConfig


class DemoConfig(AppConfig):
    name = "tests.event_stream.demo"
    label = "demo"
    default_auto_field = "django.db.models.BigAutoField"
