"""The parts of EVENT_STREAM that come from the environment: the platform, and TLS and login for Kafka."""

import ssl
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from service_kit.settings.environment import addresses, amqp_urls, choice, path, redis_url, text
from service_kit.settings.sources import is_there

Properties = Mapping[str, Any]

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")
_SASL = ("KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD")
_SSL = ("KAFKA_SSL_CAFILE", "KAFKA_SSL_CERTFILE", "KAFKA_SSL_KEYFILE", "KAFKA_SSL_PASSWORD")


def _kafka() -> Properties:
    servers = addresses("KAFKA_BOOTSTRAP_SERVERS", "host:port of Kafka's brokers, between commas")
    return {"bootstrap_servers": servers, **kafka_security()}


def _redis() -> Properties:
    # Not the Redis of a service's cache, which publishers must not reach.
    return {"url": redis_url("EVENT_REDIS_URL", "the URL of the events' own Redis, such as redis://events:6379/0")}


def _rabbitmq() -> Properties:
    # For several nodes: comma-separated URLs.
    return {"url": amqp_urls("RABBITMQ_URL", "the URL of RabbitMQ, such as amqps://user:password@host:5671/vhost")}


_BINDERS: Mapping[str, Callable[[], Properties]] = {"kafka": _kafka, "rabbitmq": _rabbitmq, "redis": _redis}
"""The functions that read a binder's properties, by its type."""


def binders(**more_by_type: Properties) -> dict[str, Properties]:
    """Return EVENT_STREAM["binders"] for EVENT_BINDER, with more properties. Raises ImproperlyConfigured."""
    binder = chosen()
    return {binder: {"type": binder, **_BINDERS[binder](), **more_by_type.get(binder, {})}}


def properties(**by_type: Properties) -> Properties:
    """Select the properties for the binder that EVENT_BINDER names."""
    return by_type.get(chosen(), {})


def chosen() -> str:
    """Read EVENT_BINDER, the type of the platform. Raises ImproperlyConfigured."""
    return choice("EVENT_BINDER", "kafka", tuple(_BINDERS))


def kafka_security() -> dict[str, Any]:
    """Return kafka-python's settings for TLS and a login; none for PLAINTEXT, the default.

    KAFKA_SECURITY_PROTOCOL decides which other variables are needed. A variable that the protocol doesn't use is an
    error: a password that is set is meant to be used. Raises ImproperlyConfigured, also for invalid files.
    """
    protocol = choice("KAFKA_SECURITY_PROTOCOL", PROTOCOLS[0], PROTOCOLS)
    with_login, with_tls = protocol.startswith("SASL"), protocol.endswith("SSL")
    for used, names in ((with_login, _SASL), (with_tls, _SSL)):
        if not used:
            _check_absent(names, protocol)
    return {
        **({} if protocol == PROTOCOLS[0] else {"security_protocol": protocol}),
        **(_login() if with_login else {}),
        **(_tls() if with_tls else {}),
    }


def _check_absent(names: tuple[str, ...], protocol: str) -> None:
    for name in names:
        for variable in (name, f"{name}_FILE"):
            if is_there(variable):
                raise ImproperlyConfigured(f"{variable} should not be set where KAFKA_SECURITY_PROTOCOL is {protocol}.")


def _login() -> dict[str, str]:
    return {
        "sasl_mechanism": choice("KAFKA_SASL_MECHANISM", MECHANISMS[0], MECHANISMS),
        "sasl_plain_username": text("KAFKA_SASL_USERNAME", "the name that the broker knows this service by"),
        "sasl_plain_password": text("KAFKA_SASL_PASSWORD", "the password of KAFKA_SASL_USERNAME"),
    }


def _tls() -> dict[str, str]:
    """Return the settings for TLS. Without KAFKA_SSL_CAFILE, the machine's own authorities are trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls_settings: dict[str, str] = {}
    should_be = "the path of a PEM file with the certificates of the authorities to believe"
    if authorities := path("KAFKA_SSL_CAFILE", should_be):
        try:
            context.load_verify_locations(authorities)
        except (OSError, ssl.SSLError) as error:
            raise ImproperlyConfigured(f"KAFKA_SSL_CAFILE should be {should_be}. {authorities}: {error}") from None
        tls_settings["ssl_cafile"] = str(authorities)
    should_be = "the path of a PEM file with the certificate of this service"
    certificate = path("KAFKA_SSL_CERTFILE", should_be)
    key = path("KAFKA_SSL_KEYFILE", "the path of a PEM file with the private key of KAFKA_SSL_CERTFILE")
    password = text("KAFKA_SSL_PASSWORD", "the password of KAFKA_SSL_KEYFILE", default=None)
    if certificate is None:
        if key is not None or password is not None:
            raise ImproperlyConfigured(f"KAFKA_SSL_CERTFILE should be {should_be} where there is a key of it.")
        return tls_settings
    try:
        # Never None, or OpenSSL would prompt for it on the terminal.
        context.load_cert_chain(certificate, key, password or "")
    except (OSError, ssl.SSLError) as error:
        raise ImproperlyConfigured(
            "KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE should be a certificate and its key in PEM, and "
            f"KAFKA_SSL_PASSWORD its password if it has one. {certificate}, {key or 'no key'}: {error}"
        ) from None
    tls_settings["ssl_certfile"] = str(certificate)
    if key is not None:
        tls_settings["ssl_keyfile"] = str(key)
    if password is not None:
        tls_settings["ssl_password"] = password
    return tls_settings
