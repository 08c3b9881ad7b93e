"""Who calls: what a believed token says of him."""

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Caller:
    """`request.user` of a request with a bearer token. He is in no database; his token is all there is."""

    subject: str
    roles: frozenset[str]

    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False
    is_active: ClassVar[bool] = True
    is_staff: ClassVar[bool] = False
    is_superuser: ClassVar[bool] = False

    @property
    def pk(self) -> str:
        return self.subject

    def get_username(self) -> str:
        return self.subject

    def __str__(self) -> str:
        return self.subject


def caller_of(claims: dict[str, Any], roles_claim: str) -> Caller:
    """`roles_claim` is a claim's own name, or a path of names between dots. What isn't there, or isn't a list of texts,
    gives no role."""
    found: Any = claims.get(roles_claim)
    if found is None:
        # Some issuers name claims like URLs, whose dots are no path: hence only now.
        found = claims
        for name in roles_claim.split("."):
            found = found.get(name) if isinstance(found, dict) else None
    roles = frozenset(role for role in found if isinstance(role, str)) if isinstance(found, list) else frozenset()
    return Caller(str(claims["sub"]), roles)
