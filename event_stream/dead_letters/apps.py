"""The Django app of the dead letters, for their pages in the admin; everything else works without it."""

from django.apps import AppConfig


class DeadLettersConfig(AppConfig):
    name = "event_stream.dead_letters"
    label = "event_stream_dead_letters"
    verbose_name = "Dead letters"
