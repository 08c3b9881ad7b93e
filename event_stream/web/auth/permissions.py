"""What a caller may do, by his roles."""

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from event_stream.web.auth.caller import Caller
from event_stream.web.auth.roles import ADMIN, USER
from event_stream.web.problem import Problem

if TYPE_CHECKING:
    from rest_framework.views import APIView


class RolesMay(BasePermission):
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
    if isinstance(user, Caller):
        return user.roles
    if user.is_superuser:
        return frozenset({USER, ADMIN})
    return frozenset(user.groups.values_list("name", flat=True))


def _needed(method: str) -> frozenset[str]:
    """Any one of these roles; empty: none. A method that nobody has thought of needs as much as deleting."""
    if method in SAFE_METHODS:
        return frozenset()
    return frozenset({USER, ADMIN}) if method in {"POST", "PUT", "PATCH"} else frozenset({ADMIN})
