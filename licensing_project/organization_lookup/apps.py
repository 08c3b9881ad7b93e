"""How the licensing service comes by the organizations, which belong to another service."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OrganizationLookupConfig(AppConfig):
    name = "organization_lookup"
    verbose_name = _("Organization lookup")
