"""The groups that are named like the roles, for those who log in: what a role may do in the API, its group may in the
admin.

An app connects them for its own models in `ready()`: `post_migrate.connect(make_groups, sender=self)`. They run after
each `migrate`, so that a new model's rights are there too, and those that somebody took away come back: for other
rights make other groups.
"""

from collections.abc import Mapping
from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed
from django.contrib.auth import get_permission_codename

from event_stream.web.auth.roles import ADMIN, USER

_WRITE = ("view", "add", "change")


def make_groups(sender: AppConfig, using: str, apps: Any = installed, **_: Any) -> None:
    """A receiver of `post_migrate` for models that people edit."""
    _grant(sender, using, apps, {USER: _WRITE, ADMIN: (*_WRITE, "delete")})


def make_groups_of_readers(sender: AppConfig, using: str, apps: Any = installed, **_: Any) -> None:
    """The same, for models that people only look at."""
    _grant(sender, using, apps, {USER: ("view",), ADMIN: ("view",)})


def _grant(sender: AppConfig, using: str, apps: Any, rights: Mapping[str, tuple[str, ...]]) -> None:
    """`apps` has the models as they are by now in the database; `flush` sends none, and leaves them as they are."""
    try:
        groups, permissions = (
            apps.get_model("auth", name)._default_manager.using(using) for name in ("Group", "Permission")
        )
    except LookupError:
        # Only some app was migrated: the tables of the logins are yet to come.
        return
    for role, actions in rights.items():
        names = [get_permission_codename(action, model._meta) for model in sender.get_models() for action in actions]
        group, _created = groups.get_or_create(name=role)
        group.permissions.add(*permissions.filter(content_type__app_label=sender.label, codename__in=names))
