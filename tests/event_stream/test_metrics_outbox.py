"""What `/metrics` tells of the outbox, beside what the table holds; and with how little work."""

import json
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from event_stream.conf import configuration
from event_stream.metrics import names
from event_stream.metrics.exposition import Sample
from event_stream.metrics.outbox import CAP, LOCAL_SETTINGS, SQL, OutboxSource

pytestmark = pytest.mark.django_db(transaction=True)
BINDING = "outbound"


def insert(count: int, values: str, binding: str = BINDING) -> None:
    """Rows as a load of writers would leave them; `values` are those of published_at, parked_at, written_at."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO event_stream_outbox
                (event_id, binding, key, payload, headers, correlation_id, published_at, parked_at, written_at)
            SELECT gen_random_uuid(), %s, n::text, '{{}}', '{{}}', n::text, {values} FROM generate_series(1, %s) AS n
            """,
            [binding, count],
        )


WAITING = "NULL, NULL, clock_timestamp() - n * interval '1 second'"
PARKED = "NULL, clock_timestamp(), clock_timestamp()"
PUBLISHED = "clock_timestamp(), NULL, clock_timestamp() - interval '1 day'"


def read() -> dict[tuple[str, tuple[str, ...]], float]:
    samples: list[Sample] = list(OutboxSource().read())
    found = {(sample.reading.name, sample.labels): float(sample.value) for sample in samples}
    assert len(found) == len(samples)
    return found


def test_it_is_what_the_table_holds() -> None:
    labels = (BINDING,)
    assert read() == {
        (names.OUTBOX_WAITING.name, labels): 0,
        (names.OUTBOX_OLDEST_AGE.name, labels): 0,
        (names.OUTBOX_PARKED_ENTRIES.name, labels): 0,
    }
    insert(40, WAITING)
    insert(3, PARKED)
    insert(500, PUBLISHED)
    # Of a binding that is configured no longer; the relay parks it once it comes to it.
    insert(2, WAITING, binding="gone")

    found = read()
    assert found[names.OUTBOX_WAITING.name, labels] == 40
    assert found[names.OUTBOX_PARKED_ENTRIES.name, labels] == 3
    assert 40 <= found[names.OUTBOX_OLDEST_AGE.name, labels] < 3600
    assert {labels for _, labels in found} == {labels}


def test_the_clock_is_the_databases() -> None:
    """A row that is written in a moment is 0 s old: nothing is younger."""
    insert(1, "NULL, NULL, clock_timestamp() + interval '1 hour'")
    assert read()[names.OUTBOX_OLDEST_AGE.name, (BINDING,)] == 0


def test_beyond_the_cap_it_counts_no_more_and_reads_no_row_that_was_sent() -> None:
    insert(CAP + 5_000, WAITING)
    insert(20_000, PUBLISHED)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ANALYZE event_stream_outbox")
        cursor.execute(LOCAL_SETTINGS)
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {SQL}", {"binding": BINDING})
        [[plan]] = cursor.fetchall()

    assert read()[names.OUTBOX_WAITING.name, (BINDING,)] == CAP
    nodes = list(walk(json.loads(plan)[0]["Plan"] if isinstance(plan, str) else plan[0]["Plan"]))
    scans = [node for node in nodes if "Scan" in node["Node Type"]]
    assert scans
    assert {node["Node Type"] for node in scans} <= {
        "Index Scan",
        "Index Only Scan",
        "Bitmap Index Scan",
        "Bitmap Heap Scan",
    }
    assert max(node["Actual Rows"] for node in scans) <= CAP


def walk(node: dict[str, Any]) -> Any:
    yield node
    for child in node.get("Plans", []):
        yield from walk(child)


def test_a_table_that_does_not_answer_holds_up_a_scrape_for_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("event_stream.metrics.outbox.SQL", "SELECT pg_sleep(60), %(binding)s, 0")
    assert [binding for binding in configuration().bindings.values() if binding.group is None]
    with pytest.raises(OperationalError, match="statement timeout"):
        read()
