"""Security settings from the environment. An insecure value raises an error that says what it should be."""

import re
import ssl
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from service_kit.settings.environment import choice, path, text, texts

Network = IPv4Network | IPv6Network

# The limits of `manage.py check --deploy`, which Django does not check at its start.
_SHORTEST_KEY, _FEWEST_CHARACTERS = 50, 5
# Beginnings of published keys, from templates, tutorials and tests.
_PUBLISHED = ("django-insecure-", "changeme", "change-me", "secret", "for-development-only", "your-", "xxx")
# As Django checks a Host header; a leading dot stands for all subdomains.
_HOST = re.compile(r"\.?[a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:.]+\]", re.IGNORECASE)


def secret_key(*, debug: bool) -> str:
    """Read SECRET_KEY. Whoever knows it can forge sessions, so only DEBUG allows a weak one."""
    should_be = "a long random text known to this service alone"
    key = text("SECRET_KEY", should_be, **({"default": "for-development-only"} if debug else {}))
    too_plain = len(key) < _SHORTEST_KEY or len(set(key)) < _FEWEST_CHARACTERS
    if not debug and (too_plain or key.lower().startswith(_PUBLISHED)):
        # The message doesn't repeat the key, which may be close to the real one.
        raise ImproperlyConfigured(
            f"SECRET_KEY should be {should_be}: at least {_SHORTEST_KEY} characters, and none that is written anywhere "
            "(`openssl rand -hex 32` makes one)."
        )
    return key


def allowed_hosts(*, debug: bool) -> list[str]:
    """Read ALLOWED_HOSTS. The default is this machine's local names, so that access from outside needs a setting."""
    should_be = "host names between commas, such as example.org,.example.org"
    hosts = texts("ALLOWED_HOSTS", should_be, default=["localhost", "127.0.0.1", "[::1]"])
    wrong = [host for host in hosts if not _HOST.fullmatch(host) and not (debug and host == "*")]
    if wrong or not hosts:
        # If any name were allowed, callers could put their own host into links and password mails.
        raise ImproperlyConfigured(f"ALLOWED_HOSTS should be {should_be}, not {', '.join(wrong) or 'empty'}.")
    return hosts


def is_https(*, debug: bool) -> bool:
    """Read PUBLIC_SCHEME, the scheme that browsers use to reach the gateway: https unless DEBUG."""
    return choice("PUBLIC_SCHEME", "http" if debug else "https", ("https", "http")) == "https"


def gateways() -> tuple[Network, ...]:
    """Read FORWARDED_ALLOW_IPS, which gunicorn reads too: the gateways whose forwarded headers are trusted."""
    should_be = "addresses or networks between commas"
    try:
        networks = tuple(map(ip_network, texts("FORWARDED_ALLOW_IPS", should_be, default=["127.0.0.1", "::1"])))
    except ValueError as error:
        # gunicorn takes `*` too: then every caller could choose its address, the scheme and the prefix.
        raise ImproperlyConfigured(f"FORWARDED_ALLOW_IPS should be {should_be}. {error}") from None
    if not networks:
        raise ImproperlyConfigured(f"FORWARDED_ALLOW_IPS should be {should_be}, not empty.")
    return networks


def check_authorities() -> None:
    """Check SSL_CERT_FILE and SSL_CERT_DIR, which OpenSSL reads in place of this machine's authorities.

    It ignores what is not there, and the first connection would say no more than that a certificate is not trusted.
    """
    should_be = "the path of a PEM file with the certificates of the authorities to believe"
    if file := path("SSL_CERT_FILE", should_be):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise ImproperlyConfigured(f"SSL_CERT_FILE should be {should_be}. {file}: {error}") from None
    should_be = "the paths of folders with such certificates, between colons"
    folders = text("SSL_CERT_DIR", should_be, default=None)
    if folders and (missing := [folder for folder in folders.split(":") if not Path(folder).is_dir()]):
        raise ImproperlyConfigured(f"SSL_CERT_DIR should be {should_be}. There is no {', '.join(missing)}.")
