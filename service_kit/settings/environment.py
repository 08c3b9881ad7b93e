"""Settings from environment variables. A missing or wrong one raises an error that says what it should be.

Each may come from a file instead, as Docker and Kubernetes pass secrets: SECRET_KEY_FILE names the file that holds
SECRET_KEY. White space around the content is ignored.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from django.core.exceptions import ImproperlyConfigured
from environs import EnvError, FileAwareEnv, ValidationError, validate

T = TypeVar("T")
env = FileAwareEnv(strip_whitespace=True)

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@]+):(\d{1,5})")


def setting(read: Callable[..., T], name: str, should_be: str, **options: Any) -> T:
    """Return the variable's value, read by one of `env`'s parsers. Raises ImproperlyConfigured with its name."""
    if name in os.environ and f"{name}_FILE" in os.environ:
        raise ImproperlyConfigured(f"{name} should be set, or {name}_FILE, and not both.")
    try:
        return read(name, **options)
    except (EnvError, ValueError) as error:
        raise ImproperlyConfigured(f"{name} should be {should_be}. {error}") from None


def flag(name: str, *, default: bool) -> bool:
    return setting(env.bool, name, "true or false", default=default)


def number(name: str, default: float, unit: str) -> float:
    """Read a number above zero."""
    return setting(
        env.float, name, f"a number of {unit} above 0", default=default, validate=validate.Range(0, min_inclusive=False)
    )


def count(name: str, default: int, unit: str) -> int:
    """Read a whole number of at least one."""
    return setting(env.int, name, f"a whole number of {unit}, at least 1", default=default, validate=validate.Range(1))


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    return setting(env.str, name, f"one of {', '.join(allowed)}", default=default, validate=validate.OneOf(allowed))


def text(name: str, should_be: str, **options: Any) -> str:
    """Read a text that is not empty."""
    return setting(env.str, name, should_be, validate=validate.Length(min=1), **options)


def texts(name: str, should_be: str, **options: Any) -> list[str]:
    """Read comma-separated texts; surrounding spaces and empty texts are ignored."""
    values: list[str] = setting(env.list, name, should_be, **options)
    return [value.strip() for value in values if value.strip()]


def path(name: str, should_be: str) -> Path | None:
    """Read the path of a file; None if the variable is not set."""
    value = setting(env.str, name, should_be, default=None, validate=validate.Length(min=1))
    return None if value is None else Path(value)


def address(name: str, should_be: str) -> str | None:
    """Read one host:port; None if the variable is not set."""
    return setting(env.str, name, should_be, default=None, validate=_is_address)


def addresses(name: str, should_be: str) -> list[str]:
    """Read a comma-separated list of at least one host:port."""
    values = texts(name, should_be)
    wrong = [value for value in values if not (match := _ADDRESS.fullmatch(value)) or not 0 < int(match[2]) < 65536]
    if wrong or not values:
        raise ImproperlyConfigured(f"{name} should be {should_be}, not {', '.join(wrong) or 'empty'}.")
    return values


def postgresql(name: str, should_be: str, **options: Any) -> dict[str, Any]:
    """Read a postgresql:// URL as an entry of DATABASES."""
    is_right = [_is_url_of("postgresql", "postgres"), _names_files("sslrootcert", "sslcert", "sslkey", "sslcrl")]
    setting(env.str, name, should_be, validate=is_right)
    entry: dict[str, Any] = setting(env.dj_db_url, name, should_be, engine="django.db.backends.postgresql", **options)
    return entry


def redis_url(name: str, should_be: str) -> str:
    is_right = [_is_url_of("redis", "rediss", "unix"), _names_files("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")]
    return setting(env.str, name, should_be, validate=is_right)


def base_url(name: str, should_be: str) -> str:
    """Read an http or https URL with a host and an optional path; return it without a trailing slash."""
    return setting(env.str, name, should_be, validate=_is_base_url).rstrip("/")


def _is_address(value: str) -> None:
    if not (match := _ADDRESS.fullmatch(value)) or int(match[2]) > 65535:
        raise ValidationError("It is no host:port.")


def _is_url_of(*schemes: str) -> Callable[[str], None]:
    def check(value: str) -> None:
        # The message doesn't repeat the URL, which may hold a password.
        if urlsplit(value).scheme not in schemes:
            raise ValidationError("It is the URL of something else.")

    return check


def _names_files(*parameters: str) -> Callable[[str], None]:
    def check(value: str) -> None:
        query = parse_qs(urlsplit(value).query)
        # libpq reads "system" as the certificates that the machine trusts.
        named = {name: query[name][-1] for name in parameters if name in query and query[name][-1] != "system"}
        for parameter, named_file in named.items():
            if not os.access(named_file, os.R_OK):
                raise ValidationError(f"Its {parameter} is {named_file}, which can't be read.")

    return check


def _is_base_url(value: str) -> None:
    parts = urlsplit(value)
    _ = parts.port  # raises ValueError for a port that is none
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValidationError("It is no http or https URL with a host.")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValidationError("It has a query, a fragment or credentials.")
