"""Settings from environment variables. A missing or wrong one raises an error that says what it should be.

Each may come from a file instead, as Docker and Kubernetes pass secrets: SECRET_KEY_FILE names the file that holds
SECRET_KEY. White space around the content is ignored. Any number of them may stand in the file that CONFIG_FILE names,
as lines of NAME=value (dotenv): that is the one way to change a setting while processes run (`refresh_scope`).

There is a reader for each kind of setting, and each has bounds: what a reader returns can be used. No message repeats a
value that may hold a password.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qs, unquote, urlencode, urlsplit

from django.core.exceptions import ImproperlyConfigured
from environs import EnvError, FileAwareEnv, ValidationError, validate

from service_kit.settings.sources import Reading, check_place, describe, is_there, raw_text_of, recorded, snapshot

T = TypeVar("T")


class _Environment(FileAwareEnv):
    def _get_value(self, env_key: str, default: Any) -> Any:
        text = raw_text_of(env_key)
        return default if text is None else text


env = _Environment()


SHORTEST_S = 0.001
"""PostgreSQL and Redis count in milliseconds, and take 0 for no limit at all."""
DAY_S = 86_400.0
YEAR_S = 365 * DAY_S

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@]+):(\d{1,5})")
# Letters of any language, as host names in Unicode are turned into ASCII ones.
# PostgreSQL's may be the percent-encoded path of a folder.
_HOST = re.compile(r"([\w.-]|%2[fF])+|[0-9A-Fa-f:.]+(%\w+)?")
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,200}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ORIGIN = re.compile(r"https?://(\*\.)?[^\s/@*?#]+")
# Options of Django's backend, which libpq does not know.
_OPTIONS_OF_DJANGO = frozenset({"assume_role", "isolation_level", "pool", "server_side_binding"})
_LONGEST_NAME = 63


@dataclass(frozen=True, slots=True)
class RedisServers:
    """`sentinels` or `nodes` of a cluster, host:port each; neither for one server."""

    url: str
    """One server's. With sentinels its host is the name by which they know the primary."""
    sentinels: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    sentinel_login: Mapping[str, str] = field(default_factory=dict)
    """`username` and `password` for the sentinels themselves."""


def setting(read: Callable[..., T], name: str, should_be: str, **options: Any) -> T:
    """Return the variable's value, read by one of `env`'s parsers. Raises ImproperlyConfigured with its name."""
    describe(should_be, options.get("default", ...))
    check_place(name)
    if is_there(name) and is_there(f"{name}_FILE"):
        raise ImproperlyConfigured(f"{name} should be set, or {name}_FILE, and not both.")
    try:
        # Whatever the reader: an empty text is for it to judge.
        env.str(name, default="", validate=_has_no_control_characters)
        return read(name, **options)
    except (EnvError, ValueError, OSError) as error:
        raise ImproperlyConfigured(f"{name} should be {should_be}. {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Return environs' error without the variable's name, which stands before it."""
    reasons = getattr(error, "error_messages", None) or [error]
    return " ".join(map(str, reasons if isinstance(reasons, list) else [reasons]))


def is_set(name: str) -> bool:
    """Return whether the variable, or the one that names a file with its value, is there."""
    known = snapshot().readings
    found = is_there(name) or is_there(f"{name}_FILE")
    if not found and name not in known:
        # So that a refresh finds it once it is set.
        known[name] = Reading(name, lambda: None, None, None)
    return found


@recorded
def flag(name: str, *, default: bool) -> bool:
    return setting(env.bool, name, "true or false", default=default)


@recorded
def seconds(name: str, default: float, *, maximum: float = DAY_S) -> float:
    """Read a time in seconds, from SHORTEST_S to `maximum`."""
    return number(name, default, "seconds", minimum=SHORTEST_S, maximum=maximum)


@recorded
def number(name: str, default: float, unit: str, *, minimum: float, maximum: float) -> float:
    should_be = f"a number of {unit} from {minimum:g} to {maximum:.0f}"
    return setting(env.float, name, should_be, default=default, validate=validate.Range(minimum, maximum))


@recorded
def count(name: str, default: int, unit: str, *, minimum: int = 1, maximum: int) -> int:
    """Read a whole number from `minimum` to `maximum`."""
    should_be = f"a whole number of {unit} from {minimum} to {maximum}"
    return setting(env.int, name, should_be, default=default, validate=validate.Range(minimum, maximum))


@recorded
def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    return setting(env.str, name, f"one of {', '.join(allowed)}", default=default, validate=validate.OneOf(allowed))


@recorded
def text(name: str, should_be: str, **options: Any) -> str:
    """Read a text that is not blank."""
    return setting(env.str, name, should_be, validate=_is_not_blank, **options)


@recorded
def topic(name: str, should_be: str, default: str) -> str:
    """Read the name of a topic, a queue or a group, as each platform takes it."""
    should_be = f"{should_be}: up to 200 letters, digits, '.', '_' and '-'"
    return setting(env.str, name, should_be, default=default, validate=validate.Regexp(_TOPIC.pattern + r"\Z"))


@recorded
def texts(name: str, should_be: str, **options: Any) -> list[str]:
    """Read comma-separated texts; surrounding spaces and empty texts are ignored."""
    values: list[str] = setting(env.list, name, should_be, **options)
    return [value.strip() for value in values if value.strip()]


@recorded
def origins(name: str) -> list[str]:
    """Read comma-separated origins of browsers; there may be none."""
    should_be = "origins such as https://example.org between commas"
    values = texts(name, should_be, default=[])
    if not all(map(_ORIGIN.fullmatch, values)):
        raise ImproperlyConfigured(f"{name} should be {should_be}, without a path or credentials.")
    return values


@recorded
def path(name: str, should_be: str) -> Path | None:
    """Read the path of a file; None if the variable is not set."""
    value = setting(env.str, name, should_be, default=None, validate=_is_not_blank)
    return None if value is None else Path(value)


@recorded
def address(name: str, should_be: str) -> str | None:
    """Read one host:port; None if the variable is not set."""
    return setting(env.str, name, should_be, default=None, validate=_is_address)


@recorded
def addresses(name: str, should_be: str) -> list[str]:
    """Read a comma-separated list of at least one host:port."""
    values = texts(name, should_be)
    wrong = [value for value in values if not _is_host_and_port(value)]
    if wrong or not values:
        raise ImproperlyConfigured(f"{name} should be {should_be}, not {', '.join(wrong) or 'empty'}.")
    return values


@recorded
def bind_address(name: str, default: str) -> str:
    """Read where a server listens: host:port, or unix:path."""
    return setting(env.str, name, "host:port, or unix:path", default=default, validate=_is_bind_address)


@recorded
def postgresql(name: str, should_be: str, **options: Any) -> dict[str, Any]:
    """Read a postgresql:// URL as an entry of DATABASES."""
    setting(env.str, name, should_be, validate=_is_postgresql_url)
    entry: dict[str, Any] = setting(env.dj_db_url, name, should_be, engine="service_kit.postgresql", **options)
    return entry


@recorded
def redis_url(name: str, should_be: str) -> str:
    return setting(env.str, name, should_be, validate=_is_redis_url)


@recorded
def redis_servers(name: str, should_be: str) -> RedisServers:
    """Read where a cache is: one server, or nodes of Redis Sentinel or Redis Cluster."""
    return _redis_servers(setting(env.str, name, should_be, validate=_are_redis_servers))


@recorded
def amqp_urls(name: str, should_be: str) -> list[str]:
    """Read the URLs of RabbitMQ's nodes between commas. A comma within one does not end it."""
    value = setting(env.str, name, should_be, validate=_are_amqp_urls)
    return _split_amqp_urls(value)


@recorded
def base_url(name: str, should_be: str) -> str:
    """Read an http or https URL with a host and an optional path; return it without a trailing slash."""
    return setting(env.str, name, should_be, validate=_is_base_url).rstrip("/")


@recorded
def named_urls(name: str, should_be: str) -> dict[str, str]:
    """Read comma-separated pairs of name=URL, each URL as `base_url` reads one; there may be none."""
    pairs = [entry.partition("=") for entry in texts(name, should_be, default=[])]
    for key, _, url in pairs:
        try:
            _is_base_url(url)
        except ValidationError as error:
            raise ImproperlyConfigured(f"{name} should be {should_be}. {_reason(error)}") from None
        if not key:
            raise ImproperlyConfigured(f"{name} should be {should_be}. A name is missing.")
    return {key: url.rstrip("/") for key, _, url in pairs}


@recorded
def key_set_url(name: str, should_be: str, default: str) -> str:
    """Read an https, http or file URL."""
    return setting(env.str, name, should_be, default=default, validate=_is_key_set_url)


def _is_host_and_port(value: str) -> bool:
    match = _ADDRESS.fullmatch(value)
    return match is not None and 0 < int(match[2]) < 65536


def _is_address(value: str) -> None:
    if not _is_host_and_port(value):
        raise ValidationError("It is no host:port.")


def _has_no_control_characters(value: str) -> None:
    if _CONTROL.search(value):
        raise ValidationError("It has a control character.")


def _is_not_blank(value: str | None) -> None:
    if value is not None and not value.strip():
        raise ValidationError("It is blank.")


def _is_bind_address(value: str) -> None:
    if value.startswith("unix:"):
        _is_not_blank(value.removeprefix("unix:"))
        return
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValidationError("It has no host, or no port from 1 to 65535.")


def _url_of(value: str, *schemes: str, separator: str = "") -> SplitResult:
    """Return the parts of a URL, whose host may be several between `separator`.

    Raises ValidationError, whose message does not repeat the URL and its password.
    """
    try:
        parts = urlsplit(value)
        port, host = parts.port, parts.hostname
    except ValueError:
        # Its message repeats what stands where the port should be: the end of a password with a slash in it.
        raise ValidationError(
            "Its host or its port, a number from 1 to 65535, can't be read. In user and password, characters other "
            "than letters and digits have to be percent-encoded."
        ) from None
    if parts.scheme not in schemes:
        raise ValidationError("It is the URL of something else.")
    hosts = host.split(separator) if host and separator else [host] if host else []
    if port == 0 or not all(map(_HOST.fullmatch, hosts)):
        raise ValidationError("Its host or its port, a number from 1 to 65535, can't be read.")
    if parts.fragment:
        raise ValidationError("It has a fragment: a # in a password has to be percent-encoded, as %23.")
    return parts


def _is_postgresql_url(value: str) -> None:
    from psycopg import ProgrammingError  # noqa: PLC0415 - a service without a database has no psycopg
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415

    parts = _url_of(value, "postgresql", "postgres", separator=",")
    name = unquote(parts.path[1:])
    if not name.strip() or len(name.encode()) > _LONGEST_NAME:
        raise ValidationError(f"The name of the database, of up to {_LONGEST_NAME} bytes, is missing after the host.")
    for option in parse_qs(parts.query, keep_blank_values=True).keys() - _OPTIONS_OF_DJANGO - {"currentSchema"}:
        try:
            make_conninfo("", **{option: "1"})
        except ProgrammingError:
            raise ValidationError(f"It has a parameter {option!r}, which PostgreSQL does not know.") from None
    _check_files(parts, "sslrootcert", "sslcert", "sslkey", "sslcrl")


def _is_redis_url(value: str) -> None:
    from redis import ConnectionPool, RedisError  # noqa: PLC0415 - a service without a cache has no redis-py

    parts = _url_of(value, "redis", "rediss", "unix")
    if parts.scheme == "unix":
        if len(parts.path) < 2:
            raise ValidationError("The path of the socket is missing.")
    elif not parts.hostname:
        raise ValidationError("It has no host.")
    elif not re.fullmatch(r"/?\d{0,5}", parts.path):
        raise ValidationError("Its path should be the number of a database, such as /0.")
    _check_files(parts, "ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
    try:
        # It opens no connection.
        ConnectionPool.from_url(value).make_connection()
    except TypeError as error:
        unknown = str(error).rpartition(" ")[2]
        raise ValidationError(f"It has a parameter {unknown}, which redis-py does not know.") from None
    except (RedisError, ValueError) as error:
        raise ValidationError(f"{error}.") from None


def _redis_servers(value: str) -> RedisServers:
    """Raises ValidationError."""
    scheme, separator, rest = value.partition("://")
    secure, _, kind = scheme.partition("+")
    if not separator or secure not in {"redis", "rediss"} or kind not in {"sentinel", "cluster"}:
        _is_redis_url(value)
        return RedisServers(value)
    path_at = min((place for place in map(rest.find, "/?#") if place >= 0), default=len(rest))
    login, at, hosts = rest[:path_at].rpartition("@")
    nodes = tuple(hosts.split(","))
    if not all(map(_is_host_and_port, nodes)):
        raise ValidationError("It has no host:port, or several between commas, after user and password.")
    path, question, query = rest[path_at:].partition("?")
    if kind == "cluster":
        if path.strip("/") not in {"", "0"}:
            raise ValidationError("A cluster has the database 0 alone.")
        url = f"{secure}://{login}{at}{nodes[0]}/0{question}{query}"
        _is_redis_url(url)
        return RedisServers(url, nodes=nodes)
    primary, _, database = path.strip("/").partition("/")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", primary):
        raise ValidationError("The name by which the sentinels know the primary is missing after the hosts: /NAME/0.")
    pairs = parse_qs(query, keep_blank_values=True)
    own = {name: pairs.pop(f"sentinel_{name}")[-1] for name in ("username", "password") if f"sentinel_{name}" in pairs}
    url = f"{secure}://{login}{at}{primary}/{database or 0}"
    url += f"?{urlencode(pairs, doseq=True)}" if pairs else ""
    _is_redis_url(url)
    return RedisServers(url, sentinels=nodes, sentinel_login=own)


def _are_redis_servers(value: str) -> None:
    _redis_servers(value)


def _split_amqp_urls(value: str) -> list[str]:
    return [url.strip() for url in re.split(r",\s*(?=amqps?://)", value)]


def _are_amqp_urls(value: str) -> None:
    from pika import URLParameters  # noqa: PLC0415 - only a service on RabbitMQ has pika

    for url in _split_amqp_urls(value):
        if not _url_of(url, "amqp", "amqps").hostname:
            raise ValidationError("A host is missing.")
        try:
            URLParameters(url)
        except (ValueError, TypeError):
            raise ValidationError("It has a parameter that pika does not know, or one with a wrong value.") from None


def _check_files(parts: SplitResult, *parameters: str) -> None:
    query = parse_qs(parts.query)
    # libpq reads "system" as the certificates that the machine trusts.
    named = {name: query[name][-1] for name in parameters if name in query and query[name][-1] != "system"}
    for parameter, named_file in named.items():
        if not os.access(named_file, os.R_OK):
            raise ValidationError(f"Its {parameter} is {named_file}, which can't be read.")


def _is_base_url(value: str) -> None:
    parts = _url_of(value, "http", "https")
    if not parts.hostname:
        raise ValidationError("It has no host.")
    if re.search(r"\s", value):
        raise ValidationError("It has a space.")
    if parts.query or parts.username or parts.password:
        raise ValidationError("It has a query, a fragment or credentials.")


def _is_key_set_url(value: str) -> None:
    parts = _url_of(value, "https", "http", "file")
    if parts.scheme == "file" and (parts.netloc or len(parts.path) < 2):
        raise ValidationError("A file URL begins with file:/// and has a path.")
    if parts.scheme != "file" and not parts.hostname:
        raise ValidationError("It has no host.")
    if parts.username or parts.password or re.search(r"\s", value):
        raise ValidationError("It has credentials or a space.")
