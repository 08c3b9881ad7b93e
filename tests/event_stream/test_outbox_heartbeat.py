"""What a heartbeat says is true: every commit before its `as_of` lies before it in the log."""

import json
import random
import threading
import time
from dataclasses import dataclass, field

import pytest
from django.db import connection, transaction
from pytest_django.fixtures import Settings

from event_stream.messaging.message import Message
from event_stream.outbox import emit
from event_stream.outbox.store import Store, connect
from tests.event_stream.demo.models import BINDING
from tests.event_stream.outbox_world import FLAKY, TOPIC, binder, event_stream, flaky, refused, relaying, sql, until

pytestmark = pytest.mark.django_db(transaction=True)

_CLOCK_US = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


@pytest.fixture(autouse=True)
def platform(settings: Settings) -> None:
    settings.EVENT_STREAM = event_stream(FLAKY, heartbeat=True, partitions=3)


def clock_us() -> int:
    ((now_us,),) = sql(_CLOCK_US)
    return int(now_us)


def heartbeats() -> dict[int, list[int]]:
    """Their `as_of`, by partition and in order."""
    found: dict[int, list[int]] = {}
    for record in binder().sent(TOPIC):
        body = json.loads(record.value or b"")
        if "asOf" in body:
            found.setdefault(record.partition, []).append(body["asOf"])
    return found


def test_every_partition_has_them_and_they_never_go_back() -> None:
    start_us = clock_us()
    with relaying():
        found = until(lambda: len(now := heartbeats()) == 3 and min(map(len, now.values())) >= 5 and now)
    end_us = clock_us()
    for as_of in found.values():
        assert as_of == sorted(as_of)
        assert all(start_us <= value <= end_us for value in as_of)


def test_it_stops_at_the_oldest_unsent_entry_and_passes_over_a_parked_one() -> None:
    with transaction.atomic():
        emit(BINDING, Message({}, key="parked"), version=None)
    sql("UPDATE event_stream_outbox SET parked_at = now()")
    with transaction.atomic():
        first = emit(BINDING, Message({}, key="a"), version=None)
    with transaction.atomic():
        emit(BINDING, Message({}, key="b"), version=None)
    with connect("default") as relays_own:
        assert Store(relays_own).as_of_us(BINDING) == round(first.written_at.timestamp() * 1_000_000)
        assert Store(relays_own).as_of_us("another binding") > round(first.written_at.timestamp() * 1_000_000)


def test_its_clock_is_read_before_its_snapshot() -> None:
    """In a transaction that keeps its first snapshot, what is committed later is not seen, and must not be claimed."""
    with connect("default") as relays_own:
        relays_own.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        with transaction.atomic():
            entry = emit(BINDING, Message({}, key="a"), version=None)
        assert Store(relays_own).as_of_us(BINDING) < round(entry.written_at.timestamp() * 1_000_000)
        relays_own.execute("ROLLBACK")


def test_it_stands_still_in_an_outage_and_moves_on_afterwards() -> None:
    flaky().verdict = lambda key, attempt: refused(key, attempt) if key else None
    with transaction.atomic():
        entry = emit(BINDING, Message({}, key="a"), version=None)
    written_us = round(entry.written_at.timestamp() * 1_000_000)
    with relaying():
        until(lambda: min(map(len, heartbeats().values()), default=0) >= 3)
        assert {value for as_of in heartbeats().values() for value in as_of} == {written_us}
        flaky().verdict = lambda _key, _attempt: None
        until(lambda: all(as_of[-1] > written_us for as_of in heartbeats().values()))


@dataclass
class Load:
    """Writers whose transactions stay open for a random while, and what they know of their own commits."""

    seconds: float
    committed: dict[str, int] = field(default_factory=dict)
    """Message key → a clock reading after its commit had returned, in microseconds."""

    def run(self, writers: int = 6) -> None:
        threads = [threading.Thread(target=self._write, args=(number,)) for number in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _write(self, number: int) -> None:
        chance, end_s = random.Random(number), time.monotonic() + self.seconds
        try:
            for n in range(1_000_000):
                if time.monotonic() > end_s:
                    return
                key = f"{number}-{n}"
                with transaction.atomic():
                    emit(BINDING, Message({}, key=key), version=None)
                    threading.Event().wait(chance.choice([0, 0, 0.001, 0.005, 0.03]))
                self.committed[key] = clock_us()
        finally:
            connection.close()

    def untruths(self) -> list[tuple[str, int]]:
        """Messages committed before the `as_of` of a heartbeat that lies before them, or that are not there at all."""
        found, highest = [], dict.fromkeys(range(3), 0)
        for record in binder().sent(TOPIC):
            body = json.loads(record.value or b"")
            if "asOf" in body:
                highest[record.partition] = max(highest[record.partition], body["asOf"])
            elif self.committed[key := (record.key or b"").decode()] < highest[record.partition]:
                found.append((key, highest[record.partition]))
        sent = {(record.key or b"").decode() for record in binder().sent(TOPIC)}
        return found + [(key, 0) for key in self.committed.keys() - sent]


def test_under_concurrent_open_transactions_every_heartbeat_is_true() -> None:
    load = Load(seconds=4)
    with relaying(heartbeat_interval_s=0.001, batch_size=7):
        load.run()
        until(lambda: sql("SELECT count(*) FROM event_stream_outbox WHERE published_at IS NULL") == [(0,)])
    assert sum(map(len, heartbeats().values())) > 100
    assert len(load.committed) > 100
    assert load.untruths() == []


def test_the_same_load_shows_up_a_heartbeat_that_does_not_look_at_the_unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test before: were it not to find this, it would prove nothing."""

    def clock_alone(store: Store, binding: str) -> int:
        row = store._connection.execute(_CLOCK_US).fetchone()
        assert row is not None
        return int(row[0])

    monkeypatch.setattr(Store, "as_of_us", clock_alone)
    load = Load(seconds=4)
    with relaying(heartbeat_interval_s=0.001, batch_size=7):
        load.run()
        until(lambda: sql("SELECT count(*) FROM event_stream_outbox WHERE published_at IS NULL") == [(0,)])
    assert load.untruths() != []
