"""DRF's authentication by bearer token."""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from service_kit.auth.tokens import InvalidToken, JWKSUnavailableError, TokenUser, verifier
from service_kit.problem_details import Problem, unavailable

CHALLENGE = "Bearer"


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer <JWT>`. Put it first: it gives a 401 its challenge.

    Another scheme, or no header, is left to the next class; a token that is not believed ends the request, whatever
    other credentials come with it. Nothing at all while `settings.AUTH` is None.
    """

    def authenticate(self, request: Request) -> tuple[Any, str] | None:
        header: str = request.META.get("HTTP_AUTHORIZATION", "")
        scheme, _space, token = header.partition(" ")
        if settings.AUTH is None or scheme.lower() != "bearer":
            return None
        try:
            caller: TokenUser = verifier(settings.AUTH).verify(token.strip())
        except InvalidToken as error:
            challenge = f'{CHALLENGE} error="invalid_token", error_description="{error}"'
            raise Problem(
                401,
                detail=_("The token is not accepted. %(reason)s") % {"reason": error},
                headers={"WWW-Authenticate": challenge},
            ) from error
        except JWKSUnavailableError as error:
            raise unavailable(
                _("The issuer's keys can't be read, and the token can't be checked without them."),
                retry_after_s=error.retry_after_s,
            ) from error
        return caller, token

    def authenticate_header(self, request: Request) -> str | None:
        """None, while anybody may call, keeps DRF's 403 for a browser whose form lacks its CSRF token."""
        return None if settings.AUTH is None else CHALLENGE


# What an OpenAPI document says of bearer tokens. Import it where drf-spectacular is used.


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # registers itself, untyped
    """Found by drf-spectacular through its target."""

    target_class = "service_kit.auth.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
