"""The roles, and the groups of the same names that give users who log in the same rights in the admin.

An app connects the groups for its own models in `ready()`: `post_migrate.connect(make_groups, sender=self)`. They are
made after each `migrate`, so that a new model's rights are there too. A right that somebody took away from one of them
comes back: for other rights, make other groups.
"""

from collections.abc import Mapping
from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed
from django.contrib.auth import get_permission_codename

# Names in a token's roles claim, and of the groups of users who log in.
USER = "USER"
ADMIN = "ADMIN"

_WRITE = ("view", "add", "change")


def make_groups(sender: AppConfig, using: str, apps: Any = installed, **_: Any) -> None:
    """Receiver of `post_migrate`: groups for models that people edit."""
    _grant(sender, using, apps, {USER: _WRITE, ADMIN: (*_WRITE, "delete")})


def make_groups_of_readers(sender: AppConfig, using: str, apps: Any = installed, **_: Any) -> None:
    """Receiver of `post_migrate`: groups for models that people only view."""
    _grant(sender, using, apps, {USER: ("view",), ADMIN: ("view",)})


def _grant(sender: AppConfig, using: str, apps: Any, rights: Mapping[str, tuple[str, ...]]) -> None:
    """Create the groups, with the models in `apps` (those of the migrated state; `flush` passes none)."""
    try:
        groups, permissions = (
            apps.get_model("auth", name)._default_manager.using(using) for name in ("Group", "Permission")
        )
    except LookupError:
        # Only one app was migrated; the tables of django.contrib.auth don't exist yet.
        return
    for role, actions in rights.items():
        names = [get_permission_codename(action, model._meta) for model in sender.get_models() for action in actions]
        group, _created = groups.get_or_create(name=role)
        group.permissions.add(*permissions.filter(content_type__app_label=sender.label, codename__in=names))
