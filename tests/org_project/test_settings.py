"""A setting that is missing or wrong stops the start, and is named."""

import os
import subprocess
import sys

import pytest
from django.conf import settings

RIGHT = {
    "SECRET_KEY": "for-tests-only-" + "0123456789" * 5,
    "DATABASE_URL": "postgresql://somebody:hush@127.0.0.1:1/none",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "AUTH_ISSUER": "https://id.example.org/realms/ours",
    "AUTH_AUDIENCE": "ours",
}


def start(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    """From another folder, in an environment with nothing else in it."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    argv = [sys.executable, str(settings.BASE_DIR / "manage.py"), *(command or ["check"])]
    return subprocess.run(argv, env=kept | environment, cwd="/", capture_output=True, text=True, check=False)


def test_starts() -> None:
    done = start(RIGHT)
    assert done.returncode == 0, done.stderr


def test_a_developers_machine_needs_no_key() -> None:
    done = start({name: value for name, value in RIGHT.items() if name != "SECRET_KEY"} | {"DEBUG": "true"})
    assert done.returncode == 0, done.stderr


def test_openness_is_asked_for_by_name() -> None:
    closed = {name: value for name, value in RIGHT.items() if not name.startswith("AUTH_")}
    assert start(closed).returncode != 0
    done = start(closed | {"AUTH_REQUIRED": "false"})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "value", "should_be"),
    [
        ("SECRET_KEY", None, "long random text"),
        ("SECRET_KEY", "", "long random text"),
        ("SECRET_KEY", "hush" * 12, "at least 50 characters"),
        ("SECRET_KEY", "hush" * 20, "at least 50 characters"),
        ("SECRET_KEY", "django-insecure-" + "0123456789" * 5, "none that is written anywhere"),
        ("ALLOWED_HOSTS", "*", "host names"),
        ("ALLOWED_HOSTS", "example.org,*", "host names"),
        ("ALLOWED_HOSTS", "https://example.org", "host names"),
        ("ALLOWED_HOSTS", ",", "host names"),
        ("PUBLIC_SCHEME", "ftp", "https, http"),
        ("FORWARDED_ALLOW_IPS", "*", "addresses or networks"),
        ("FORWARDED_ALLOW_IPS", "gateway", "addresses or networks"),
        ("LOGIN_FAILURE_LIMIT", "0", "wrong passwords"),
        ("DATABASE_URL", None, "postgresql://"),
        ("DATABASE_URL", "sqlite:///hush.db", "postgresql://"),
        ("OUTBOX_DATABASE_URL", "sqlite:///hush.db", "no pooler's"),
        ("DATABASE_URL", "postgresql://somebody:hush@127.0.0.1:port/none", "postgresql://"),
        ("KAFKA_BOOTSTRAP_SERVERS", None, "host:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1", "host:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", ",", "host:port"),
        ("DEBUG", "perhaps", "true or false"),
        ("LOG_LEVEL", "LOUD", "DEBUG, INFO"),
        ("LOG_FORMAT", "xml", "json, plain"),
        ("ORG_CHANGE_TOPIC", "", "name of the topic"),
        ("ORG_CHANGE_ACTIONS", "java", "standard, spring"),
        ("ORG_CHANGE_FORMAT", "avro", "json, cloudevents, cloudevents-binary"),
        ("OUTBOX_EMBEDDED", "1.5", "true or false"),
        ("AUTH_ISSUER", None, "AUTH_REQUIRED=false"),
        ("AUTH_ISSUER", "id.example.org", "issuer's URL"),
        ("AUTH_ISSUER", "", "issuer's URL"),
        ("AUTH_AUDIENCE", None, "in their claim aud"),
        ("AUTH_REQUIRED", "false", "not set, where AUTH_ISSUER is"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str | None, should_be: str) -> None:
    environment = {key: given for key, given in (RIGHT | {name: value}).items() if given is not None}
    done = start(environment)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert f"{name} should be" in last
    assert should_be in last
    assert "hush" not in done.stderr


@pytest.mark.parametrize(
    ("environment", "https"),
    [({}, True), ({"PUBLIC_SCHEME": "https"}, True), ({"PUBLIC_SCHEME": "http"}, False), ({"DEBUG": "true"}, False)],
)
def test_cookies_are_for_https_unless_said_otherwise(environment: dict[str, str], https: bool) -> None:
    names = ["SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"]
    script = (
        f"from django.conf import settings as s; print([getattr(s, name) for name in {names}], s.SECURE_HSTS_SECONDS)"
    )
    done = start(RIGHT | environment, "shell", "--command", script)
    assert done.stdout.splitlines()[-1] == f"{[https, https]} {31_536_000 if https else 0}", done.stderr


def test_nothing_is_left_to_say_for_production() -> None:
    done = start(RIGHT, "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr
