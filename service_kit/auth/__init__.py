"""An OAuth2 resource server: verifies bearer tokens (JWT) with their issuer's published keys, and checks roles.

The settings contain `AUTH = from_environment()`. None, which AUTH_REQUIRED=false requests explicitly, opens the API to
everybody; `log_auth_mode(settings.AUTH)` in wsgi.py logs that. In REST_FRAMEWORK,
`service_kit.auth.authentication.BearerAuthentication` is the first authentication class, before the session's, and
`service_kit.auth.permissions.HasRequiredRole` is the permission class. Both read `settings.AUTH` with each request.

    no credentials, or bad ones   401, WWW-Authenticate: Bearer …
    missing role                  403, WWW-Authenticate: Bearer error="insufficient_scope"
    keys of the issuer unknown    503, Retry-After
"""

from service_kit.auth.settings import AuthSettings, from_environment, log_auth_mode

__all__ = ["AuthSettings", "from_environment", "log_auth_mode"]
