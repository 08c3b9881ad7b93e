"""The licenses and their API."""

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class LicensesConfig(AppConfig):
    name = "licenses"
    verbose_name = _("Licenses")

    def ready(self) -> None:
        # Not before the apps are there.
        from service_kit.auth.roles import make_groups, make_groups_of_readers  # noqa: PLC0415

        post_migrate.connect(make_groups, sender=self)
        # A license's form links to the changes of its organization.
        post_migrate.connect(make_groups_of_readers, sender=apps.get_app_config("event_stream_trace"))
