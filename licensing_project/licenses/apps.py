"""The licenses and their API."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class LicensesConfig(AppConfig):
    name = "licenses"
    verbose_name = _("Licenses")

    def ready(self) -> None:
        from service_kit.auth.roles import make_groups  # noqa: PLC0415 - not before the apps are there

        post_migrate.connect(make_groups, sender=self)
