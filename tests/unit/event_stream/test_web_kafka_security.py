"""TLS and the login at Kafka from the environment: right ones are taken, and what does not fit together is named."""

import os
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from event_stream.binders.kafka.binder import KafkaBinder
from event_stream.conf import Binding
from service_kit.settings.event_binders import kafka_security
from tests.security.certificates import Authority, Pair

LOGIN = {"KAFKA_SASL_USERNAME": "licensing", "KAFKA_SASL_PASSWORD": "hush"}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("KAFKA_S", "SECRET_KEY")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def client(authority: Authority) -> Pair:
    return authority.pair("client")


def read(monkeypatch: pytest.MonkeyPatch, **environment: str | Path) -> dict[str, Any]:
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    return kafka_security()


def test_without_a_word_it_is_plain_text() -> None:
    assert kafka_security() == {}


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"])
def test_a_login_over_tls(monkeypatch: pytest.MonkeyPatch, authority: Authority, mechanism: str) -> None:
    found = read(
        monkeypatch,
        KAFKA_SECURITY_PROTOCOL="SASL_SSL",
        KAFKA_SASL_MECHANISM=mechanism,
        KAFKA_SSL_CAFILE=authority.certificate,
        **LOGIN,
    )
    assert found == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "licensing",
        "sasl_plain_password": "hush",
        "ssl_cafile": str(authority.certificate),
    }
    binder = KafkaBinder("kafka", {"bootstrap_servers": ["127.0.0.1:1"], **found})
    binder.check(Binding("in", "topic", "kafka", group="group"))


def test_scram_is_what_is_meant_unless_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT", **LOGIN)["sasl_mechanism"] == "SCRAM-SHA-512"


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_password_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: str) -> None:
    file = tmp_path / "password"
    file.write_text(f"from a file{end}")
    found = read(
        monkeypatch,
        KAFKA_SECURITY_PROTOCOL="SASL_SSL",
        KAFKA_SASL_USERNAME="licensing",
        KAFKA_SASL_PASSWORD_FILE=file,
    )
    assert found["sasl_plain_password"] == "from a file"


def test_a_certificate_of_ones_own(monkeypatch: pytest.MonkeyPatch, client: Pair) -> None:
    found = read(
        monkeypatch,
        KAFKA_SECURITY_PROTOCOL="SSL",
        KAFKA_SSL_CERTFILE=client.certificate,
        KAFKA_SSL_KEYFILE=client.key,
    )
    assert found["ssl_certfile"] == str(client.certificate)
    assert found["ssl_keyfile"] == str(client.key)
    monkeypatch.delenv("KAFKA_SSL_KEYFILE")
    both = {"security_protocol": "SSL", "ssl_certfile": str(client.both)}
    assert read(monkeypatch, KAFKA_SSL_CERTFILE=client.both) == both


def test_a_key_with_a_password(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    locked = authority.pair("locked", password="open sesame")
    given = {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CERTFILE": str(locked.both)}
    with pytest.raises(ImproperlyConfigured, match="KAFKA_SSL_PASSWORD its password"):
        read(monkeypatch, **given)
    with pytest.raises(ImproperlyConfigured, match="KAFKA_SSL_PASSWORD its password") as raised:
        read(monkeypatch, KAFKA_SSL_PASSWORD="close sesame")
    assert "sesame" not in str(raised.value)
    assert read(monkeypatch, KAFKA_SSL_PASSWORD="open sesame")["ssl_password"] == "open sesame"


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL should be one of PLAINTEXT, SSL"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_SASL_USERNAME should be the name"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "licensing"},
            "KAFKA_SASL_PASSWORD should be the password of KAFKA_SASL_USERNAME",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", **LOGIN, "KAFKA_SASL_MECHANISM": "GSSAPI"},
            "KAFKA_SASL_MECHANISM should be one of SCRAM-SHA-512, SCRAM-SHA-256, PLAIN",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", **LOGIN, "KAFKA_SASL_PASSWORD_FILE": "/nowhere"},
            "KAFKA_SASL_PASSWORD should be set, or KAFKA_SASL_PASSWORD_FILE, and not both",
        ),
        (
            {
                "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
                "KAFKA_SASL_USERNAME": "licensing",
                "KAFKA_SASL_PASSWORD_FILE": "/nowhere",
            },
            "The value of KAFKA_SASL_PASSWORD_FILE must be a readable file path",
        ),
        (LOGIN, "KAFKA_SASL_USERNAME should not be set where KAFKA_SECURITY_PROTOCOL is PLAINTEXT"),
        (
            {"KAFKA_SASL_PASSWORD_FILE": "/nowhere"},
            "KAFKA_SASL_PASSWORD_FILE should not be set where KAFKA_SECURITY_PROTOCOL is PLAINTEXT",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", **LOGIN, "KAFKA_SSL_CAFILE": "/ca.pem"},
            "KAFKA_SSL_CAFILE should not be set where KAFKA_SECURITY_PROTOCOL is SASL_PLAINTEXT",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CAFILE": "/nowhere.pem"},
            "KAFKA_SSL_CAFILE should be the path of a PEM file with the certificates of the authorities to believe. "
            "/nowhere.pem: ",
        ),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CAFILE": __file__}, "KAFKA_SSL_CAFILE should be the path"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_KEYFILE": "/key.pem"},
            "KAFKA_SSL_CERTFILE should be the path",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CERTFILE": __file__},
            "KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE should be a certificate and its key in PEM",
        ),
    ],
)
def test_what_does_not_fit_together_is_named(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], told: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as raised:
        read(monkeypatch, **environment)
    assert told in str(raised.value)
    assert "hush" not in str(raised.value)
