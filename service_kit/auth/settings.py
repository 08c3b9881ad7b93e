"""The trusted issuer: the value of the setting AUTH, from the environment."""

import logging
from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured

from service_kit.settings.environment import base_url, flag, is_set, key_set_url, text, texts

logger = logging.getLogger("service_kit.auth")

# Signatures with a private key. With a shared secret (HS256), every service that verifies tokens could issue them, and
# "none" is no signature, so neither is allowed.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
DEFAULT_ALGORITHMS = ("RS256", "ES256")
KEYCLOAK_ROLES = "realm_access.roles"
_KEYCLOAK_KEYS = "/protocol/openid-connect/certs"


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """The issuer of tokens, and the claims that its tokens must have."""

    issuer: str
    """Has to equal the claim `iss` exactly."""
    audience: str
    """Has to be in the claim `aud`, so that tokens for other services are refused."""
    jwks_url: str
    """Where the issuer publishes its keys: https, http, or file for keys that are mounted."""
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    roles_claim: str = KEYCLOAK_ROLES
    """The name of a claim, or a path of names with dots, to a list of strings."""


def from_environment() -> AuthSettings | None:
    """Return None only if AUTH_REQUIRED is false. Raises ImproperlyConfigured for a wrong or missing variable."""
    should_be = "the issuer's URL as its tokens have it, such as https://id.example.org/realms/ours"
    is_named = is_set("AUTH_ISSUER")
    if not flag("AUTH_REQUIRED", default=True):
        if is_named:
            raise ImproperlyConfigured("AUTH_REQUIRED should be true, or not set, where AUTH_ISSUER is set.")
        return None
    if not is_named:
        # A forgotten variable must not leave everything open.
        raise ImproperlyConfigured(
            f"AUTH_ISSUER should be {should_be}. It is not set, and only AUTH_REQUIRED=false, by name, opens the API "
            "to whoever reaches it."
        )
    base_url("AUTH_ISSUER", should_be)
    issuer = text("AUTH_ISSUER", should_be)
    algorithms = texts(
        "AUTH_ALGORITHMS", f"algorithms out of {', '.join(ALGORITHMS)}", default=list(DEFAULT_ALGORITHMS)
    )
    if not algorithms or not set(algorithms) <= set(ALGORITHMS):
        raise ImproperlyConfigured(
            f"AUTH_ALGORITHMS should be one or more of {', '.join(ALGORITHMS)}, not {', '.join(algorithms) or 'empty'}."
        )
    return AuthSettings(
        issuer=issuer,
        audience=text("AUTH_AUDIENCE", "what tokens for this service have in their claim aud"),
        jwks_url=key_set_url(
            "AUTH_JWKS_URL",
            "the URL (https, http or file) of the issuer's key set",
            issuer.rstrip("/") + _KEYCLOAK_KEYS,
        ),
        algorithms=tuple(algorithms),
        roles_claim=text("AUTH_ROLES_CLAIM", "names between dots, such as realm_access.roles", default=KEYCLOAK_ROLES),
    )


def log_auth_mode(settings: AuthSettings | None) -> None:
    """Log the mode of authentication. Call it when logging is set up, which is after the settings are read."""
    if settings is None:
        logger.warning("auth.off", extra={"reason": "AUTH_REQUIRED=false: whoever reaches the API may do everything"})
    else:
        logger.info("auth.on", extra={"issuer": settings.issuer, "audience": settings.audience})
