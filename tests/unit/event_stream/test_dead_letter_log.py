"""The log of dead letters in bounded memory: summaries for all of them, bodies a batch at a time."""

from collections.abc import Iterator

import pytest

from event_stream.dead_letters import log
from event_stream.dead_letters.record import DeadLetterRecord, Origin, as_record
from event_stream.messaging.message import ConsumerRecord


def parked(offset: int, body: bytes) -> ConsumerRecord:
    letter = DeadLetterRecord(
        origin=Origin(0, 100 - offset, 5),
        destination="things",
        group="readers",
        key=b"k",
        value=body,
        headers=(),
        error="ValueError",
        reason="no",
        traceback="Traceback",
        attempts=1,
        parked_at_ms=7,
    )
    record = as_record(letter, "things.readers.dlq", 0)
    return ConsumerRecord(record.destination, 0, offset, record.key, record.value, record.headers, 7)


def test_bodies_are_read_in_the_order_of_the_letters_and_a_batch_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [parked(offset, bytes([offset]) * 1_000) for offset in range(7)]
    monkeypatch.setattr(log, "BATCH_BYTES", 3_000)
    reads = 0

    def read() -> Iterator[ConsumerRecord]:
        nonlocal reads
        reads += 1
        yield from records

    letters = log.dead_letter_log(records).letters
    found = [letter for _, letter in log.whole_letters(read, letters)]
    # The order of the origins, which is not that of the log.
    assert [letter.value for letter in found if letter] == [bytes([offset]) * 1_000 for offset in reversed(range(7))]
    assert reads == 4


def test_one_letter_larger_than_a_batch_is_read_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [parked(0, b"a"), parked(1, b"b" * 1_000), parked(2, b"c")]
    monkeypatch.setattr(log, "BATCH_BYTES", 10)
    letters = log.dead_letter_log(records).letters
    assert [letter and letter.value for _, letter in log.whole_letters(lambda: records, letters)] == [
        b"c",
        b"b" * 1_000,
        b"a",
    ]


def test_a_letter_that_retention_has_taken_meanwhile_is_none() -> None:
    letters = log.dead_letter_log([parked(0, b"a"), parked(1, b"b")]).letters
    assert [letter and letter.value for _, letter in log.whole_letters(lambda: [parked(1, b"b")], letters)] == [
        b"b",
        None,
    ]
