"""An OAuth2 resource server: bearer tokens (JWT) checked against their issuer's published keys, and what roles may do.

In the settings, `AUTH = from_environment()`; None, which has to be asked for by name, leaves everything open. wsgi.py
says so in the log: `log_who_gets_in(settings.AUTH)`. REST_FRAMEWORK names
`service_kit.auth.authentication.BearerAuthentication` first among its authentication classes, before the
session's, and `service_kit.auth.permissions.HasRequiredRole` as its permission class. Both look at `settings.AUTH` with
each request.

    no credentials, or bad ones   401, WWW-Authenticate: Bearer …
    not the role                  403, WWW-Authenticate: Bearer error="insufficient_scope"
    no key to check a token with  503, Retry-After
"""

from service_kit.auth.settings import AuthSettings, from_environment, log_who_gets_in

__all__ = ["AuthSettings", "from_environment", "log_who_gets_in"]
