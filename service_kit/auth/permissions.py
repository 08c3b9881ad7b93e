"""What a caller may do, by role."""

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from service_kit.auth.roles import ADMIN, USER
from service_kit.auth.tokens import TokenUser
from service_kit.problem_details import Problem

if TYPE_CHECKING:
    from rest_framework.views import APIView


class HasRequiredRole(BasePermission):
    """Authenticated users may read; writing needs USER or ADMIN, deleting ADMIN.

    While `settings.AUTH` is None, everything is allowed. The roles of a browser's session are the names of its user's
    groups; a superuser has both roles.
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Return False for a 401. Raises a 403 problem for an authenticated user without the role."""
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
    """Return the roles of a `TokenUser` or of a Django user."""
    if isinstance(user, TokenUser):
        return user.roles
    if user.is_superuser:
        return frozenset({USER, ADMIN})
    return frozenset(user.groups.values_list("name", flat=True))


def _needed(method: str) -> frozenset[str]:
    """Return the roles of which one is needed; empty if none is. Unknown methods need as much as DELETE."""
    if method in SAFE_METHODS:
        return frozenset()
    return frozenset({USER, ADMIN}) if method in {"POST", "PUT", "PATCH"} else frozenset({ADMIN})
