"""The setting EVENT_STREAM_OUTBOX, the system checks, the relay inside of a web process, and the admin."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import transaction
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from event_stream.messaging.message import Message
from event_stream.outbox import emit, relay
from event_stream.outbox.checks import check_outbox
from event_stream.outbox.models import OutboxEntry
from event_stream.outbox.settings import outbox_settings
from tests.event_stream.demo.models import BINDING
from tests.event_stream.outbox_world import event_stream, published, sql, until

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"batch_size": "many"}, "['batch_size'] is 'many'; it should be a whole number from 1 to 100000"),
        ({"batch_size": True}, "['batch_size'] is True; it should be a whole number from 1 to 100000"),
        ({"batch_size": 0}, "['batch_size'] is 0; it should be a whole number from 1 to 100000"),
        (
            {"heartbeat_interval_s": "1"},
            "['heartbeat_interval_s'] is '1'; it should be a number above 0, and at most 86400",
        ),
        ({"poll_interval_s": 1e300}, "['poll_interval_s'] is 1e+300; it should be a number above 0, and at most 86400"),
        (
            {"poll_interval_s": float("nan")},
            "['poll_interval_s'] is nan; it should be a number above 0, and at most 86400",
        ),
        ({"embedded": 1}, "['embedded'] is 1; it should be True or False"),
        ({"database": "other"}, "['database'] is 'other'; it should be one of 'default'"),
        ({"batchsize": 1}, "['batchsize'] is not known here; known are 'batch_size', "),
        ([], " is []; it should be a dict with strings as keys"),
    ],
)
def test_a_wrong_setting_is_named(settings: Settings, wrong: Any, sentence: str) -> None:
    settings.EVENT_STREAM_OUTBOX = wrong
    with pytest.raises(ImproperlyConfigured, match=re.escape(f"EVENT_STREAM_OUTBOX{sentence}")):
        outbox_settings()
    assert [found.id for found in check_outbox()] == ["event_stream_outbox.E001"]


def test_whole_numbers_will_do_for_seconds(settings: Settings) -> None:
    settings.EVENT_STREAM_OUTBOX = {"heartbeat_interval_s": 2}
    assert outbox_settings().heartbeat_interval_s == 2
    assert check_outbox() == []


def checked(*apps: str) -> str:
    """What a project with these apps on SQLite is told."""
    code = f"""
from django.conf import settings
sqlite = {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
settings.configure(DATABASES={{"default": sqlite}}, INSTALLED_APPS={apps!r})
import django
django.setup()
from django.core.management import call_command
call_command("check")
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    return done.stderr


def test_another_database_than_postgresql_is_refused() -> None:
    said = "(event_stream_outbox.E002) The outbox needs PostgreSQL; the database 'default' is sqlite."
    assert said in checked("pgtrigger", "event_stream.outbox")


def test_a_project_without_pgtrigger_is_told_so() -> None:
    assert "INSTALLED_APPS should have 'pgtrigger'" in checked("event_stream.outbox")


@pytest.mark.django_db(transaction=True)
def test_a_web_process_has_one_relay_however_often_it_is_started(settings: Settings) -> None:
    settings.EVENT_STREAM = event_stream("memory")
    try:
        relay.start_embedded_relay()
        first = relay._thread
        relay.start_embedded_relay()
        assert relay._thread is first
        with transaction.atomic():
            emit(BINDING, Message({}, key="a"), version=None)
        until(lambda: published() == 1)
        relay.stop_embedded_relay()
        assert not relay.is_embedded_relay_running()
        relay.start_embedded_relay()
        assert relay.is_embedded_relay_running()
    finally:
        relay.stop_embedded_relay()
    until(lambda: sql("SELECT FROM pg_stat_activity WHERE application_name = 'outbox relay'") == [])


def test_no_relay_is_started_where_the_setting_says_so(settings: Settings) -> None:
    settings.EVENT_STREAM_OUTBOX = {"embedded": False}
    relay.start_embedded_relay()
    assert not relay.is_embedded_relay_running()


def test_a_process_with_a_relay_ends_by_itself() -> None:
    """Neither its thread nor a broker that is not there holds it; and it says goodbye to the database."""
    code = (
        "import django; django.setup(); from event_stream.outbox import relay; relay.start_embedded_relay();"
        " print('end')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr


@pytest.mark.django_db(transaction=True)
def test_the_admin_shows_each_state_and_changes_nothing(rf: RequestFactory, settings: Settings) -> None:
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django.contrib.admin"]
    # It can't be imported where there is no admin.
    from event_stream.outbox.admin import STATES, OutboxEntryAdmin, StateFilter  # noqa: PLC0415

    with transaction.atomic():
        for key in STATES:
            emit(BINDING, Message({}, key=key), version=None)
    sql("UPDATE event_stream_outbox SET published_at = now() WHERE key = 'published'")
    sql("UPDATE event_stream_outbox SET parked_at = now() WHERE key = 'parked'")
    own = OutboxEntryAdmin(OutboxEntry, admin.site)
    request = rf.get("/")
    for state in STATES:
        chosen = StateFilter(request, {"state": [state]}, OutboxEntry, own)
        (entry,) = chosen.queryset(request, OutboxEntry.objects.all())
        assert entry.key == own.state(entry) == state
    assert not own.has_add_permission(request)
    assert not own.has_change_permission(request)
    assert not own.has_delete_permission(request)


@pytest.mark.django_db(transaction=True)
def test_the_status_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("outbox_status")
    with transaction.atomic():
        emit(BINDING, Message({}), version=None)
    sql("UPDATE event_stream_outbox SET written_at = now() - interval '90 s'")
    call_command("outbox_status")
    first, second = capsys.readouterr().out.splitlines()
    assert first == "0 unsent, 0 parked"
    assert second.startswith("1 unsent (the oldest for 90.")
