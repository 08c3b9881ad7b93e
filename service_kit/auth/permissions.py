"""What a caller may do, by role."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig
from django.apps import apps as installed
from django.conf import settings
from django.contrib.auth import get_permission_codename
from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from service_kit.auth.tokens import TokenUser
from service_kit.problem_details import Problem

if TYPE_CHECKING:
    from rest_framework.views import APIView


class HasRequiredRole(BasePermission):
    """Read: whoever is authenticated. Write: USER or ADMIN. Delete: ADMIN. Everything while `settings.AUTH` is None.

    The roles of a browser's session are the names of its user's groups; a superuser has both.
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """False makes DRF answer 401. Raises a 403 problem for a caller who is known, and may not."""
        if settings.AUTH is None:
            return True
        if not request.user or not request.user.is_authenticated:
            return False
        needed = _needed(request.method or "")
        if not needed or needed & roles_of(request.user):
            return True
        raise Problem(
            403,
            detail=_("This needs one of these roles: %(roles)s.") % {"roles": ", ".join(sorted(needed))},
            headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
        )


def roles_of(user: Any) -> frozenset[str]:
    """Of a token's caller, or of a user of Django's."""
    if isinstance(user, TokenUser):
        return user.roles
    if user.is_superuser:
        return frozenset({USER, ADMIN})
    return frozenset(user.groups.values_list("name", flat=True))


def _needed(method: str) -> frozenset[str]:
    """Any one of these roles; empty: none. A method that nobody has thought of needs as much as deleting."""
    if method in SAFE_METHODS:
        return frozenset()
    return frozenset({USER, ADMIN}) if method in {"POST", "PUT", "PATCH"} else frozenset({ADMIN})


# The roles that permissions ask for: names in a token's claim, and of the groups of those who log in.

USER = "USER"
ADMIN = "ADMIN"


# The groups that are named like the roles, for those who log in: what a role may do in the API, its group may in the
# admin.
#
# An app connects them for its own models in `ready()`: `post_migrate.connect(make_groups, sender=self)`. They run after
# each `migrate`, so that a new model's rights are there too, and those that somebody took away come back: for other
# rights make other groups.

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
