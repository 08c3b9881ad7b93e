"""A refresh takes what is new in CONFIG_FILE, all of it or nothing, and names what only a restart applies."""

import dataclasses
import logging
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from organization_lookup import lookup
from service_kit.logging import LEVELS
from service_kit.settings import environment, refresh_scope, sources
from service_kit.settings.refresh_scope import refresh

NAMES = {
    "LOG_LEVEL": ("DEBUG", "loud"),
    "LOGIN_FAILURE_LIMIT": ("3", "0"),
    "LOGIN_COOLOFF_MIN": ("7", "-1"),
    "ORGANIZATION_MAX_STALENESS_S": ("2.5", "0"),
    "ORGANIZATION_HARD_TTL_S": ("3600", "1"),
    "ORGANIZATION_CONNECT_TIMEOUT_S": ("0.25", "inf"),
    "ORGANIZATION_READ_TIMEOUT_S": ("0.75", "121"),
    "ORGANIZATION_LOOKUP_BUDGET_S": ("4", "0.1"),
    "ORGANIZATION_CALL_ATTEMPTS": ("3", "0"),
    "ORGANIZATION_MAX_CALLS": ("7", "1.5"),
    "ORGANIZATION_CIRCUIT_FAILURES": ("9", ""),
    "ORGANIZATION_CIRCUIT_RESET_S": ("11", "nan"),
    "CONSUMER_RETRY_INITIAL_MS": ("20", "20000"),
    "CONSUMER_RETRY_MAX_MS": ("2000", "1"),
    "DEAD_LETTER_LIMIT": ("5", "many"),
}
"""Each refreshable setting, with another value than its default, and one that is wrong by itself or beside the rest."""


@pytest.fixture
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """One that nothing is in yet; what the tests' environment has of the names is taken away. All is undone."""
    path = tmp_path / "settings.env"
    path.write_text("")
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    # Not the environment's: a variable there is one that only a restart applies.
    monkeypatch.setenv("CONFIG_FILE", str(path))
    readings = sources.snapshot().readings
    readings.update(_OF_SETTINGS)
    before = {scope: (value.value, getattr(settings, scope)) for scope, value in refresh_scope._scopes.items()}
    refresh("test")
    yield path
    for name, (value, setting) in before.items():
        refresh_scope._scopes[name].value = value
        setattr(settings, name, setting)
    logging.getLogger().setLevel(settings.LOG_LEVEL)
    refresh_scope._state = None


_OF_SETTINGS = dict(sources.snapshot().readings)
"""As long as no other test has read anything."""


def write(path: Path, **values: str) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))


def test_each_refreshable_setting_is_in_this_table() -> None:
    assert {name for name, reading in _OF_SETTINGS.items() if reading.scope is not None} == set(NAMES)


def test_everything_that_is_new_holds_at_once(config_file: Path) -> None:
    found = lookup.make(settings.ORGANIZATION_LOOKUP, partitions=6)
    refresh_scope.on_change("ORGANIZATION_LOOKUP", found.configure)
    try:
        version = refresh_scope.state().version
        write(config_file, **{name: right for name, (right, _) in NAMES.items()})
        state = refresh("test")
    finally:
        refresh_scope.on_change("ORGANIZATION_LOOKUP", lookup.configure)
    assert state.error == ""
    assert state.needs_restart == ()
    assert state.version != version
    assert logging.getLogger().level == logging.DEBUG
    assert settings.AXES_FAILURE_LIMIT == 3
    assert timedelta(minutes=7) == settings.AXES_COOLOFF_TIME
    assert dataclasses.asdict(settings.CONSUMER_LIMITS) == {
        "retry_initial_ms": 20,
        "retry_max_ms": 2000,
        "dead_letter_limit": 5,
    }
    cache = found.cache.settings
    assert (cache.max_staleness_s, cache.hard_ttl_s, cache.lease_ms) == (2.5, 3600, 4500)
    assert found.cache.max_staleness_ms == 2500
    assert (found.fetch.attempts, found.fetch.max_calls, found.budget_s) == (3, 7, 4)
    assert settings.ORGANIZATION_LOOKUP.circuit_reset_s == 11

    # The version is that of the values, not of the file's text.
    write(config_file, **{name: f'"{right}"' for name, (right, _) in reversed(NAMES.items())})
    assert refresh("test").version == state.version
    config_file.write_text("")
    assert refresh("test").version == version
    assert settings.ORGANIZATION_LOOKUP.max_staleness_s == 10


@pytest.mark.parametrize("name", NAMES)
def test_one_wrong_value_changes_nothing_and_is_named(
    config_file: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    before = refresh("test")
    values = {other: right for other, (right, _) in NAMES.items()}
    write(config_file, **{**values, name: NAMES[name][1]})
    state = refresh("test")
    assert name in state.error
    assert (state.version, state.read_at) == (before.version, before.read_at)
    assert settings.LOG_LEVEL == "INFO"
    assert settings.ORGANIZATION_LOOKUP.max_staleness_s == 10
    [refused] = [record for record in caplog.records if record.getMessage() == "configuration.refused"]
    assert name in refused.__dict__["error"]
    # Once it is right, all of it holds, and nothing is wrong any more.
    write(config_file, **values)
    assert refresh("test").error == ""
    assert settings.ORGANIZATION_LOOKUP.max_staleness_s == 2.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("LOG_LEVEL=DEBUG\nLOG_LEVEL=INFO\n", "LOG_LEVEL should be in CONFIG_FILE once"),
        ("LOG_LEVEL\n", "Line 1 is none"),
        ("LOG_LEVEL=DEBUG\n'quoted = \n", "Line 2 is none"),
        ("SSL_CERT_FILE=/x\n", "SSL_CERT_FILE should be set in the environment"),
        ("OTEL_TRACES_EXPORTER=otlp\n", "OTEL_TRACES_EXPORTER should be set in the environment"),
        ("REDIS_URL=redis://other/0\n", "REDIS_URL should be set in the environment, or in CONFIG_FILE"),
        (None, "CONFIG_FILE should be the path of a file"),
    ],
)
def test_a_file_that_can_not_be_read_changes_nothing(config_file: Path, text: str | None, said: str) -> None:
    if text is None:
        config_file.unlink()
    else:
        config_file.write_text(text + "DEAD_LETTER_LIMIT=5\n")
    assert said in refresh("test").error
    assert settings.CONSUMER_LIMITS.dead_letter_limit == 100


def test_what_only_a_restart_applies_is_named_and_the_rest_holds(
    config_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(config_file, REDIS_TIMEOUT_S="2", AUTH_ROLES_CLAIM="roles", NOBODYS="1", LOG_LEVEL="WARNING")
    state = refresh("test")
    assert state.needs_restart == ("REDIS_TIMEOUT_S",)
    assert settings.REDIS_TIMEOUT_S == 0.5
    assert settings.LOG_LEVEL == "WARNING"
    [line] = [record for record in caplog.records if record.getMessage() == "configuration.needs_restart"]
    assert line.__dict__["error"] == "REDIS_TIMEOUT_S changed; restart to apply"
    refresh("test")
    assert len([record for record in caplog.records if record.getMessage() == "configuration.needs_restart"]) == 1
    # Wrong, it is refused with the rest: the restart would fail.
    write(config_file, REDIS_TIMEOUT_S="soon", LOG_LEVEL="ERROR")
    assert "REDIS_TIMEOUT_S should be a number of seconds" in refresh("test").error
    assert settings.LOG_LEVEL == "WARNING"


def test_a_setting_may_come_from_a_file_of_its_own(config_file: Path, tmp_path: Path) -> None:
    own = tmp_path / "level"
    own.write_text(" ERROR\n")
    write(config_file, LOG_LEVEL_FILE=str(own))
    refresh("test")
    assert settings.LOG_LEVEL == "ERROR"
    own.write_text("CRITICAL")
    refresh("test")
    assert settings.LOG_LEVEL == "CRITICAL"


def test_a_process_that_is_forked_refreshes_its_own_settings_alone(config_file: Path) -> None:
    write(config_file, LOG_LEVEL="ERROR", REDIS_TIMEOUT_S="2")
    refresh("test")
    write(config_file, LOG_LEVEL="WARNING", REDIS_TIMEOUT_S="2")
    pid = os.fork()
    if pid == 0:
        right = sources.is_inherited() and environment.choice("LOG_LEVEL", "INFO", LEVELS) == "ERROR"
        right = right and environment.seconds("REDIS_TIMEOUT_S", 0.5) == 0.5
        right = right and refresh("fork").needs_restart == ("LOG_LEVEL", "REDIS_TIMEOUT_S")
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_lookups_under_way_have_either_limit(config_file: Path) -> None:
    """No thread finds a mixture that no version of the file had."""
    ended, seen = threading.Event(), set()

    def look() -> None:
        while not ended.is_set():
            limits = settings.ORGANIZATION_LOOKUP
            seen.add((limits.max_staleness_s, limits.hard_ttl_s))

    thread = threading.Thread(target=look)
    thread.start()
    for limit in range(1, 60):
        write(config_file, ORGANIZATION_MAX_STALENESS_S=str(limit), ORGANIZATION_HARD_TTL_S=str(limit * 2))
        refresh("test")
    ended.set()
    thread.join()
    assert seen <= {(10, 86_400), *((float(limit), float(limit * 2)) for limit in range(1, 60))}


def test_a_setting_in_both_places_ends_the_start(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(config_file, LOG_LEVEL="DEBUG")
    monkeypatch.setenv("LOG_LEVEL", "INFO")
    with sources.reading_from(sources.file_snapshot()), pytest.raises(ImproperlyConfigured) as error:
        environment.choice("LOG_LEVEL", "INFO", ("INFO", "DEBUG"))
    assert "LOG_LEVEL should be set in the environment, or in CONFIG_FILE, and not in both" in str(error.value)
