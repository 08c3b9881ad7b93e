"""A consumer that the organization service does not know of: each event is one row, whatever crashes."""

import secrets
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest

from devstack import json_log
from devstack.cluster import LoggedProcess
from devstack.django_commands import JOURNAL, manage
from devstack.topics import Topic
from devstack.waiting import wait_until
from event_stream.failpoints import VARIABLE, FailPoint
from event_stream.messaging.partitioner import partition_for
from tests.e2e.world import DEADLINE_S, ORGANIZATION, World

PARTITIONS = 6


class Journal:
    """The example on a database and with a group of its own, on the world's topic."""

    group = "auditJournal"

    def __init__(self, world: World, folder: Path) -> None:
        servers, topic = world.platform.servers, world.platform.topic
        database = f"e2e_journal_{servers.binder}"
        servers.create_database(database)
        self._folder = folder
        self.settings = {
            **servers.broker.environment,
            "DATABASE_URL": servers.database_url(database),
            "SECRET_KEY": secrets.token_urlsafe(50),
            "ORG_CHANGE_TOPIC": topic,
            "LOG_FORMAT": "json",
        }
        servers.broker.create_topics([Topic(f"{topic}.{self.group}.dlq", PARTITIONS, 1, 1)])
        manage(JOURNAL, self.settings, ["migrate", "--noinput"])

    def consumer(self, name: str, settings: Mapping[str, str] | None = None) -> LoggedProcess:
        return LoggedProcess(
            JOURNAL,
            "consume_journal",
            name,
            {**self.settings, **(settings or {})},
            ready_event="worker.ready",
            folder=self._folder,
        )

    def rows(self, organizations: set[str]) -> Counter[str]:
        """How many there are of each event of these organizations."""
        with psycopg.connect(self.settings["DATABASE_URL"]) as connection:
            rows = connection.execute(
                "SELECT event_id, count(*) FROM journal_journalentry WHERE organization_id = ANY(%s) GROUP BY 1",
                [list(organizations)],
            )
            return Counter(dict(rows.fetchall()))


@pytest.fixture
def journal(world: World, tmp_path: Path) -> Journal:
    return Journal(world, tmp_path)


def write(world: World) -> set[str]:
    """Organizations that were created and changed, some in each partition; every fourth is deleted again."""
    ids: set[str] = set()
    while len({partition_for(id.encode(), PARTITIONS) for id in ids}) < PARTITIONS:
        created = world.organization("POST", "/v1/organization", json=ORGANIZATION, status=201)
        ids.add(created.json()["id"])
        path = f"/v1/organization/{created.json()['id']}"
        world.organization("PATCH", path, json={"contactName": "Ada"}, status=200)
        if len(ids) % 4 == 0:
            world.organization("DELETE", path, status=204)
    return ids


def told(world: World, organizations: set[str]) -> set[str]:
    """The ids of their events, all of which are in the topic."""
    for id in organizations:
        world.published(id)
    return {event.payload["eventId"] for id in organizations for event in world.events(id)}


def test_each_event_is_one_row_though_the_consumer_is_killed_in_the_middle(world: World, journal: Journal) -> None:
    # The group is there from now on, whatever the platform keeps for one that comes later.
    journal.consumer("first").start().stop()
    organizations = write(world)
    events = told(world, organizations)

    # SIGKILL itself between the first batch's commit in the database and its offset's.
    crashing = journal.consumer("crashing", {VARIABLE: FailPoint.WORKER_HANDLED_NOT_COMMITTED})
    crashing.spawn()
    assert wait_until(lambda: not crashing.is_running, within_s=DEADLINE_S), crashing.log_tail()
    assert json_log.has_event(crashing.log, "failpoint.reached"), crashing.log_tail()
    written = journal.rows(organizations)
    assert written
    assert written.keys() <= events

    # Killed from outside, whatever it is doing.
    more = write(world)
    killed = journal.consumer("killed").spawn()
    has_more = wait_until(lambda: len(journal.rows(organizations | more)) > len(written), within_s=DEADLINE_S)
    assert has_more, killed.log_tail()
    killed.kill()

    with journal.consumer("last") as last:
        expected = events | told(world, more)
        all_written = wait_until(lambda: journal.rows(organizations | more).keys() >= expected, within_s=DEADLINE_S)
        assert all_written, last.log_tail()
    assert journal.rows(organizations | more) == dict.fromkeys(expected, 1)
    # It was no idle test: what had been written came again.
    assert any(json_log.has_event(consumer.log, "inbox.duplicate") for consumer in (killed, last))
