"""PgBouncer before the relay: in transaction mode its sessions are shared, and with them the lock of the leader."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections
from pytest_django.fixtures import Settings

from devstack.pgbouncer import PgBouncer, PgBouncerMissing
from event_stream.doctor import Level
from event_stream.errors import ConfigurationError
from event_stream.outbox import doctor
from event_stream.outbox.relay import Relay, RelayThread
from event_stream.outbox.settings import OutboxSettings
from event_stream.outbox.store import connect
from tests.event_stream.outbox_world import FLAKY, event_stream, relaying, sql, until

pytestmark = pytest.mark.django_db(transaction=True)
_HELD = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"


@pytest.fixture
def pooled(
    tmp_path: Path, database_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], None]]:
    """A function that starts a pooler in this mode, to which the alias `pooled` leads."""
    settings.EVENT_STREAM = event_stream(FLAKY)
    started: list[PgBouncer] = []

    def start(mode: str) -> None:
        try:
            pooler = PgBouncer(tmp_path / "pgbouncer", lambda: database_url, mode=mode).start()
        except PgBouncerMissing as missing:
            pytest.skip(str(missing))
        started.append(pooler)
        entry = {**connection.settings_dict, "HOST": "127.0.0.1", "PORT": pooler.port}
        monkeypatch.setitem(connections.databases, "pooled", entry)

    yield start
    for pooler in started:
        pooler.stop()


def test_a_relay_refuses_to_lead_on_a_shared_session(pooled: Callable[[str], None]) -> None:
    pooled("transaction")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="'pooled', which leads to a pooler in transaction mode"):
            Relay(OutboxSettings(database="pooled")).run()
    assert sql(_HELD) == [(0,)]


def test_an_embedded_relay_says_so_once(pooled: Callable[[str], None], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="event_stream.outbox")
    pooled("transaction")
    tries: list[int] = []

    class Counted(Relay):
        def run(self) -> None:
            tries.append(1)
            super().run()

    thread = RelayThread(Counted(OutboxSettings(database="pooled")), restart_s=0.01)
    thread.start()
    until(lambda: len(tries) > 3)
    thread.stop(10)
    assert [record.message for record in caplog.records if "outbox" in record.message] == ["outbox.misconfigured"]


def test_the_doctor_says_so(pooled: Callable[[str], None], settings: Settings) -> None:
    pooled("transaction")
    settings.EVENT_STREAM_OUTBOX = {"database": "pooled"}
    found = next(iter(doctor.check()))
    assert (found.level, "a pooler in transaction mode" in found.text) == (Level.FAILED, True)
    assert "OUTBOX_DATABASE_URL" in found.remedy


def test_in_session_mode_one_relay_leads(pooled: Callable[[str], None]) -> None:
    pooled("session")
    with relaying(database="pooled") as first:
        until(lambda: first.is_leader)
        with relaying(database="pooled", election_interval_s=0.01) as second:
            connect("pooled").close()
            assert not second.is_leader


def test_a_direct_session_costs_no_second_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    create = connections.create_connection

    def counted(alias: str) -> Any:
        opened.append(alias)
        return create(alias)

    monkeypatch.setattr(connections, "create_connection", counted)
    connect("default").close()
    assert opened == ["default"]
