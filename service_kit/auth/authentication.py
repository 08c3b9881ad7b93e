"""DRF's authentication by bearer token, and its description in OpenAPI."""

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
    """Authenticates `Authorization: Bearer <JWT>`. List it first, because it provides the challenge of a 401.

    It leaves other schemes, and requests without the header, to the next class. An invalid token ends the request,
    whatever other credentials come with it. While `settings.AUTH` is None, this class does nothing.
    """

    def authenticate(self, request: Request) -> tuple[Any, str] | None:
        header: str = request.META.get("HTTP_AUTHORIZATION", "")
        scheme, _space, token = header.partition(" ")
        if settings.AUTH is None or scheme.lower() != "bearer":
            return None
        try:
            user: TokenUser = verifier(settings.AUTH).verify(token.strip())
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
        return user, token

    def authenticate_header(self, request: Request) -> str | None:
        """Return None while the API is open: a browser's form without a CSRF token then still gets DRF's 403."""
        return None if settings.AUTH is None else CHALLENGE


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # registers itself, untyped
    """Describes bearer tokens in the OpenAPI document. Importing the module registers it with drf-spectacular."""

    target_class = "service_kit.auth.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
