"""The Django application of what both services share."""

from django.apps import AppConfig, apps

from service_kit.searches import bound_changelists


class ServiceKitConfig(AppConfig):
    name = "service_kit"

    def ready(self) -> None:
        if apps.is_installed("django.contrib.admin"):
            bound_changelists()
