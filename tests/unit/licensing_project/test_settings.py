"""Configuration from the environment: what is wrong is named, with what it should be."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured

from organization_lookup.settings import LookupSettings
from service_kit.settings import environment as read
from service_kit.settings.redis_cache import redis_cache

READERS: dict[str, Any] = {
    "flag": lambda: read.flag("X", default=False),
    "seconds": lambda: read.seconds("X", 1),
    "count": lambda: read.count("X", 1, "calls", maximum=10),
    "choice": lambda: read.choice("X", "a", ("a", "b")),
    "text": lambda: read.text("X", "a text"),
    "addresses": lambda: read.addresses("X", "host:port"),
    "postgresql": lambda: read.postgresql("X", "a PostgreSQL URL"),
    "redis_url": lambda: read.redis_url("X", "a Redis URL"),
    "base_url": lambda: read.base_url("X", "a URL"),
    "path": lambda: read.path("X", "a path"),
}


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        ("flag", "maybe"),
        ("seconds", "0"),
        ("seconds", "-1"),
        ("seconds", "nan"),
        ("seconds", "ten"),
        ("seconds", "1e18"),
        ("seconds", "1e300"),
        ("count", "11"),
        ("count", "0"),
        ("count", "1.5"),
        ("choice", "c"),
        ("text", ""),
        ("addresses", ""),
        ("addresses", "kafka"),
        ("addresses", "kafka:99999"),
        ("addresses", "kafka:9092,other"),
        ("postgresql", "mysql://user:secret@host/x"),
        ("postgresql", "postgresql://user:secret@host/x?sslmode=verify-full&sslrootcert=/nowhere"),
        ("postgresql", "postgresql://user:secret@host/"),
        ("redis_url", "http://user:secret@host/x"),
        ("redis_url", "redis://h:abc/0"),
        ("redis_url", "redis://h/0?foo=bar"),
        ("redis_url", "redis://h/xyz"),
        ("redis_url", "rediss://user:secret@host/0?ssl_ca_certs=/nowhere"),
        ("base_url", "gateway:8072/organization"),
        ("path", ""),
        ("base_url", "ftp://gateway"),
        ("base_url", "http://"),
        ("base_url", "http://gateway:port"),
        ("base_url", "http://user:secret@gateway"),
        ("base_url", "http://gateway/?a=1"),
    ],
)
def test_a_wrong_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, reader: str, value: str) -> None:
    monkeypatch.setenv("X", value)
    with pytest.raises(ImproperlyConfigured, match=r"^X should be ") as raised:
        READERS[reader]()
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        ("text", "a secret"),
        ("postgresql", "postgresql://user:secret@host/x"),
        ("redis_url", "redis://user:secret@host/0"),
        ("addresses", "a:1,b:2"),
    ],
)
def test_a_value_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reader: str, value: str) -> None:
    monkeypatch.setenv("X", value)
    meant = READERS[reader]()
    monkeypatch.delenv("X")
    (tmp_path / "x").write_text(f"{value}\n")
    monkeypatch.setenv("X_FILE", str(tmp_path / "x"))
    assert READERS[reader]() == meant


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("X", raising=False)
    monkeypatch.setenv("X_FILE", "/nowhere")
    with pytest.raises(ImproperlyConfigured, match=r"^X should be .* X_FILE must be a readable file path"):
        READERS["text"]()


def test_a_value_and_a_file_are_one_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "a")
    monkeypatch.setenv("X_FILE", "/nowhere")
    with pytest.raises(ImproperlyConfigured, match=r"^X should be set, or X_FILE, and not both"):
        READERS["text"]()


@pytest.mark.parametrize("reader", ["text", "addresses", "postgresql", "redis_url", "base_url"])
def test_what_has_no_default_must_be_there(monkeypatch: pytest.MonkeyPatch, reader: str) -> None:
    monkeypatch.delenv("X", raising=False)
    with pytest.raises(ImproperlyConfigured, match=r"^X should be .*not set"):
        READERS[reader]()


@pytest.mark.parametrize(
    ("reader", "value", "meant"),
    [
        ("flag", "true", True),
        ("seconds", "0.5", 0.5),
        ("count", "3", 3),
        ("choice", "b", "b"),
        ("addresses", " a:1 , [::1]:2 ,", ["a:1", "[::1]:2"]),
        ("redis_url", "rediss://h:1/0", "rediss://h:1/0"),
        ("base_url", "http://gateway:8072/organization/", "http://gateway:8072/organization"),
    ],
)
def test_a_right_value_is_taken(monkeypatch: pytest.MonkeyPatch, reader: str, value: str, meant: Any) -> None:
    monkeypatch.setenv("X", value)
    assert READERS[reader]() == meant


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"max_staleness_s": 60.0, "hard_ttl_s": 30.0}, "ORGANIZATION_HARD_TTL_S"),
        ({"budget_s": 0.1, "connect_timeout_s": 0.5}, "ORGANIZATION_LOOKUP_BUDGET_S"),
    ],
)
def test_times_that_contradict_each_other_are_refused(settings: Any, changes: dict[str, Any], named: str) -> None:
    options: LookupSettings = settings.ORGANIZATION_LOOKUP
    with pytest.raises(ImproperlyConfigured, match=named):
        dataclasses.replace(options, **changes)


def start(**settings: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(Path(django_settings.BASE_DIR) / "manage.py"), "check"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AUTH_")}
    return subprocess.run(argv, env=environment | settings, capture_output=True, text=True, check=False)


def test_it_is_not_open_unless_that_is_asked_for_by_name() -> None:
    done = start()
    assert done.returncode != 0
    assert "AUTH_ISSUER should be the issuer's URL" in done.stderr.strip().splitlines()[-1]
    assert start(AUTH_REQUIRED="false").returncode == 0


def test_the_services_own_token_is_for_callers_who_are_known() -> None:
    """Or whoever reaches this service would read organizations under its name."""
    done = start(AUTH_REQUIRED="false", ORGANIZATION_TOKEN_FILE="/nowhere")
    assert done.returncode != 0
    assert "AUTH_ISSUER should be set where ORGANIZATION_TOKEN_FILE is" in done.stderr


def test_redis_may_be_one_server_sentinels_or_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    def cache(url: str) -> dict[str, Any]:
        monkeypatch.setenv("X", url)
        return redis_cache(read.redis_servers("X", "a Redis URL"), timeout_s=0.5, max_connections=7)

    one = cache("redis://u:p,w@h:6379/2")
    assert one["LOCATION"] == ["redis://u:p,w@h:6379/2"]
    assert "CONNECTION_FACTORY" not in one["OPTIONS"]
    sentinel = cache("redis+sentinel://u:p%40w@a:1,[::1]:2/main/3?sentinel_password=s&health_check_interval=5")
    assert sentinel["LOCATION"] == ["redis://u:p%40w@main/3?health_check_interval=5"]
    options = sentinel["OPTIONS"]
    assert options["CONNECTION_FACTORY"] == "django_redis.pool.SentinelConnectionFactory"
    assert options["SENTINELS"] == [("a", 1), ("::1", 2)]
    assert options["SENTINEL_KWARGS"]["password"] == "s"
    assert options["SENTINEL_KWARGS"]["socket_timeout"] == 0.5
    assert "ssl" not in options["CONNECTION_POOL_KWARGS"]
    secure = cache("rediss+sentinel://a:1/main?ssl_cert_reqs=none")
    assert secure["LOCATION"] == ["redis://main/0?ssl_cert_reqs=none"]
    for connection in (secure["OPTIONS"]["CONNECTION_POOL_KWARGS"], secure["OPTIONS"]["SENTINEL_KWARGS"]):
        assert connection["ssl"] is True
        assert connection["ssl_cert_reqs"] == "none"
    cluster = cache("rediss+cluster://u:p@a:1,b:2?ssl_cert_reqs=none")
    assert cluster["LOCATION"] == ["rediss://u:p@a:1/0?ssl_cert_reqs=none"]
    assert cluster["OPTIONS"]["NODES"] == [("a", 1), ("b", 2)]
    assert cluster["OPTIONS"]["CONNECTION_POOL_KWARGS"]["max_connections"] == 7
