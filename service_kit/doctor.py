"""What `manage.py doctor` looks at in a service with bearer tokens."""

from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import httpx
from django.conf import settings

from event_stream import doctor
from event_stream.doctor import Finding, failed, ok, warning
from service_kit.auth.settings import AuthSettings
from service_kit.auth.tokens import KeySetError, parse_key_set, reader

_SUBJECT = "issuer's keys"


def issuers_keys() -> Iterator[Finding]:
    """The issuer publishes keys, and some for the algorithms that are allowed."""
    auth: AuthSettings | None = getattr(settings, "AUTH", None)
    if auth is None:
        return
    # Without a query, which may hold a credential.
    place = urlunsplit(urlsplit(auth.jwks_url)._replace(query="", fragment=""))
    try:
        keys = parse_key_set(reader(auth.jwks_url)())
    except (OSError, httpx.HTTPError, KeySetError) as error:
        remedy = "start the issuer, or correct AUTH_JWKS_URL; no bearer token can be verified without its keys"
        yield failed(_SUBJECT, f"{place} can't be read: {error or type(error).__name__}", remedy)
        return
    usable = {algorithm for key in keys.values() for algorithm in key.algorithms} & set(auth.algorithms)
    if usable:
        yield ok(_SUBJECT, f"{place} has {len(keys)}, for {', '.join(sorted(usable))}")
    else:
        text = f"none of those at {place} is for an algorithm of AUTH_ALGORITHMS: every token is refused"
        yield warning(_SUBJECT, text, "set AUTH_ALGORITHMS to what the issuer signs with")


doctor.register(_SUBJECT, issuers_keys)
