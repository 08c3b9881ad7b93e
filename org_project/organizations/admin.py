"""The admin of organizations."""

from django.contrib import admin

from organizations.models import Organization

admin.site.register(Organization)
