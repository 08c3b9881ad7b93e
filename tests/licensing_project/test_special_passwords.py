"""Every character of a password that is percent-encoded in the URL of a server works, on the server itself; so does a
comma as it is. No password is in what is said or logged."""

import os
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import pytest
import redis
from django.conf import settings as django_settings
from django.core.cache import caches
from django.db import connections
from django.db.utils import ConnectionHandler
from psycopg import sql

from devstack.valkey import Valkey
from event_stream.binders.rabbitmq.settings import binder_properties
from service_kit.settings.environment import amqp_urls, postgresql, redis_url
from tests.licensing_project.organization_service import NASA

SPECIAL = [*string.punctuation, " ", "\N{LATIN SMALL LETTER U WITH DIAERESIS}", "\N{ROCKET}", "%41", "@/?#[]:,"]
PASSWORDS = [f"before{special}after" for special in SPECIAL]
RAW_COMMA = "hush,secret"


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """It has a user with each of the passwords."""
    with Valkey(tmp_path_factory.mktemp("special") / "valkey", durable=False) as server:
        with redis.Redis.from_url(server.url()) as client:
            given = [f"+{password}" for password in [*PASSWORDS, RAW_COMMA]]
            client.acl_setuser("some,body", enabled=True, passwords=given, commands=["+@all"], keys=["*"])
        yield server


def url_of(server: Valkey, password: str) -> str:
    return server.url().replace("//", f"//{quote('some,body', safe='')}:{password}@")


@pytest.mark.parametrize("password", [*(quote(each, safe="") for each in PASSWORDS), RAW_COMMA])
def test_redis(valkey: Valkey, settings: Any, monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    monkeypatch.setenv("X", url_of(valkey, password))
    location = [redis_url("X", "a Redis URL")]
    assert isinstance(django_settings.CACHES["default"]["LOCATION"], list)
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": location}}
    caches["default"].set("key", password)
    assert caches["default"].get("key") == password


@pytest.mark.django_db
@pytest.mark.parametrize("password", PASSWORDS)
def test_postgresql(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    """A role that the transaction takes back can't log in, so this one is dropped."""
    own = connections["default"].settings_dict
    role = "some,body"
    server = psycopg.connect(
        host=own["HOST"],
        port=own["PORT"],
        user=own["USER"],
        password=own["PASSWORD"],
        dbname="postgres",
        autocommit=True,
    )
    with server:
        server.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password)))
        try:
            at = f"{own['HOST']}:{own['PORT']}"
            monkeypatch.setenv("X", f"postgresql://{quote(role)}:{quote(password, safe='')}@{at}/postgres")
            there = ConnectionHandler({"default": postgresql("X", "a PostgreSQL URL")})["default"]
            with there.cursor() as cursor:
                cursor.execute("SELECT current_user")
                assert cursor.fetchone() == (role,)
            there.close()
        finally:
            server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


@pytest.mark.parametrize("password", [*(quote(each, safe="") for each in PASSWORDS), RAW_COMMA])
def test_rabbitmq(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    """What pika is given; of several nodes, too, and where the library's own setting is a text."""
    urls = f"amqp://some:{password}@one:5672, amqp://some:{password}@two:5672/vhost"
    monkeypatch.setenv("X", urls)
    meant = (
        RAW_COMMA if password == RAW_COMMA else PASSWORDS[[quote(each, safe="") for each in PASSWORDS].index(password)]
    )
    for given in (amqp_urls("X", "RabbitMQ's URL"), urls):
        brokers = binder_properties({"url": given})["brokers"]
        assert [(broker.host, broker.credentials.password) for broker in brokers] == [("one", meant), ("two", meant)]


@pytest.mark.parametrize("right", [True, False])
def test_a_command_with_a_comma_in_the_password(valkey: Valkey, tmp_path: Path, right: bool) -> None:
    """Nor is a wrong one in what it says."""
    url = url_of(valkey, RAW_COMMA if right else f"wrong,{RAW_COMMA}")
    argv = [sys.executable, str(Path(django_settings.BASE_DIR) / "manage.py"), "cache_inspect", NASA]
    done = subprocess.run(
        argv, env={**os.environ, "REDIS_URL": url}, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert (done.returncode == 0) is right, said
    assert "Traceback" not in said
    for part in ("hush", "secret"):
        assert part not in said
    assert urlsplit(url).hostname == "127.0.0.1"
