"""Settings that keep strangers out. One that would let them in stops the start and says what it should be."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network

from django.core.exceptions import ImproperlyConfigured

from service_kit.settings.environment import choice, text, texts

Network = IPv4Network | IPv6Network

# What `manage.py check --deploy` warns of, as Django's own start does not.
_SHORTEST_KEY, _FEWEST_CHARACTERS = 50, 5
# As keys of a template, a tutorial or a test begin: whoever has read those knows the key.
_PUBLISHED = ("django-insecure-", "changeme", "change-me", "secret", "for-development-only", "your-", "xxx")
# As Django checks a Host header; a dot in front stands for every name below.
_HOST = re.compile(r"\.?[a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:.]+\]", re.IGNORECASE)


def secret_key(*, debug: bool) -> str:
    """SECRET_KEY. A known key lets anybody forge sessions: only a developer's own machine may go without a good one."""
    should_be = "a long random text known to this service alone"
    key = text("SECRET_KEY", should_be, **({"default": "for-development-only"} if debug else {}))
    too_plain = len(key) < _SHORTEST_KEY or len(set(key)) < _FEWEST_CHARACTERS
    if not debug and (too_plain or key.lower().startswith(_PUBLISHED)):
        # Without the key: it may be all too near to the real one.
        raise ImproperlyConfigured(
            f"SECRET_KEY should be {should_be}: at least {_SHORTEST_KEY} characters, and none that is written anywhere "
            "(`openssl rand -hex 32` makes one)."
        )
    return key


def allowed_hosts(*, debug: bool) -> list[str]:
    """ALLOWED_HOSTS; by default this machine's own names, so that nobody comes from outside before a name is given."""
    should_be = "host names between commas, such as example.org,.example.org"
    hosts = texts("ALLOWED_HOSTS", should_be, default=["localhost", "127.0.0.1", "[::1]"])
    wrong = [host for host in hosts if not _HOST.fullmatch(host) and not (debug and host == "*")]
    if wrong or not hosts:
        # With any name allowed, links and password mails are made of whatever a caller puts into `Host`.
        raise ImproperlyConfigured(f"ALLOWED_HOSTS should be {should_be}, not {', '.join(wrong) or 'empty'}.")
    return hosts


def is_https(*, debug: bool) -> bool:
    """PUBLIC_SCHEME: how browsers reach the service, through whatever stands in front. https unless DEBUG."""
    return choice("PUBLIC_SCHEME", "http" if debug else "https", ("https", "http")) == "https"


def gateways() -> tuple[Network, ...]:
    """FORWARDED_ALLOW_IPS, which gunicorn reads too: from where forwarded headers are believed."""
    should_be = "addresses or networks between commas"
    try:
        return tuple(ip_network(each) for each in texts("FORWARDED_ALLOW_IPS", should_be, default=["127.0.0.1", "::1"]))
    except ValueError as error:
        # gunicorn takes `*` too: then every caller could choose its address, the scheme and the prefix.
        raise ImproperlyConfigured(f"FORWARDED_ALLOW_IPS should be {should_be}. {error}") from None
