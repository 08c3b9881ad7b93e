"""The Django app of the organizations."""

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class OrganizationsConfig(AppConfig):
    name = "organizations"
    verbose_name = _("Organizations")

    def ready(self) -> None:
        from organizations import signals  # noqa: F401, PLC0415  (connects the handlers)
        from service_kit.auth.roles import make_groups, make_groups_of_readers  # noqa: PLC0415

        post_migrate.connect(make_groups, sender=self)
        # An organization's form links to its events and their traces.
        for label in ("event_stream_outbox", "event_stream_trace"):
            post_migrate.connect(make_groups_of_readers, sender=apps.get_app_config(label))
