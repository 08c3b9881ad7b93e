"""What can't be handled is evicted by its key, parked once, acknowledged, and holds nothing up."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_stream import Binding, Channel, ConsumerRecord, Message, ProducerRecord, Sink
from event_stream.binders.kafka.binder import KafkaBinder
from event_stream.binders.memory import MemoryBinder
from event_stream.conf import ConsumerSettings, ProducerSettings
from event_stream.consumer.worker import StopCondition
from event_stream.dead_letters import DeadLetterPublisher, DeadLetterRecord, Origin, dead_letter_binding
from event_stream.dead_letters.record import as_record, letter_for, origin_of, read
from event_stream.errors import ConfigurationError, ConversionError, RejectedError, TooManyDeadLettersError
from event_stream.failpoints import Crashed, FailPoint, armed
from event_stream.messaging.message import RecordMetadata
from event_stream.testing.waiting import wait_until
from tests.event_stream.handlers import Outage
from tests.event_stream.kafka_topics import admin, new_topic
from tests.event_stream.running import running

CONSUMER = ConsumerSettings(
    idle_interval_ms=50, retry_initial_ms=1, retry_max_ms=5, dead_letters=True, dead_letter_limit=10
)
BINDING = Binding("inbound", "things", "memory", group="readers", consumer=CONSUMER)
PARKED = "things.readers.dlq"


@pytest.fixture
def binder() -> MemoryBinder:
    return MemoryBinder("memory", {"partitions": 2})


def parking(binder: Any, binding: Binding = BINDING) -> DeadLetterPublisher:
    return DeadLetterPublisher(Channel(dead_letter_binding(binding), binder), binding)


def sink(binder: Any, function: Callable[[Message[Any]], None], binding: Binding = BINDING) -> Sink:
    return Sink(binding, function, error_handler=parking(binder, binding))


def put(binder: MemoryBinder, value: bytes | None, key: bytes | None = b"k", **headers: bytes) -> RecordMetadata:
    return binder.append(ProducerRecord("things", key, value, tuple(headers.items()), partition=1))


def letters(binder: MemoryBinder, destination: str = PARKED) -> list[DeadLetterRecord]:
    found = [read(record) for record in binder.sent(destination)]
    return [each for each in found if isinstance(each, DeadLetterRecord)]


def consume(binder: Any, handler: Any, binding: Binding = BINDING) -> None:
    with running(binder, binding, handler, StopCondition.CAUGHT_UP) as worker:
        wait_until(lambda: worker.ended, "ended", timeout_s=60)


def refuse(_: Message[Any]) -> None:
    raise RejectedError("not for us")


def test_a_refused_message_is_parked_with_all_that_it_was_and_why(binder: MemoryBinder) -> None:
    put(binder, b'"body"', b"\xffkey", first=b'"quoted"', second=b"\xfe")
    consume(binder, sink(binder, refuse))
    [record] = binder.sent(PARKED)
    assert (record.key, record.value, record.partition) == (b"\xffkey", b'"body"', 1)
    assert record.headers[:2] == (("first", b'"quoted"'), ("second", b"\xfe"))
    [letter] = letters(binder)
    origin = binder.sent("things")[0]
    assert letter.origin == Origin(1, 0, origin.timestamp_ms)
    assert (letter.destination, letter.group, letter.attempts) == ("things", "readers", 1)
    assert (letter.error, letter.reason) == ("event_stream.errors.RejectedError", "not for us")
    assert "in refuse" in letter.traceback
    assert letter.parked_at_ms >= origin.timestamp_ms
    assert binder._groups[("things", "readers")].committed[1] == 1


@pytest.mark.parametrize("value", [None, b"", b"{", b"\xff\x00"])
def test_what_can_not_be_read_is_parked_and_the_next_is_handled(binder: MemoryBinder, value: bytes | None) -> None:
    seen: list[object] = []
    put(binder, value, None)
    put(binder, b'"good"')
    consume(binder, sink(binder, lambda message: seen.append(message.payload)))
    assert seen == ["good"]
    [letter] = letters(binder)
    assert (letter.value, letter.key, letter.omitted) == (value, None, False)
    assert letter.error == "event_stream.errors.ConversionError"


def test_a_failing_handler_is_tried_as_often_as_the_binding_says(binder: MemoryBinder) -> None:
    calls: list[object] = []

    def fail(message: Message[Any]) -> None:
        calls.append(message.payload)
        if message.payload == "bad":
            raise ZeroDivisionError("again")

    for value in (b'"one"', b'"bad"', b'"three"'):
        put(binder, value)
    consume(binder, sink(binder, fail))
    assert calls == ["one", "bad", "bad", "bad", "three"]
    [letter] = letters(binder)
    assert (letter.value, letter.attempts, letter.error) == (b'"bad"', 3, "builtins.ZeroDivisionError")


def test_an_error_that_the_binding_calls_permanent_is_not_tried_again(binder: MemoryBinder) -> None:
    binding = dataclasses.replace(
        BINDING, consumer=dataclasses.replace(CONSUMER, retry_permanent=("builtins.ArithmeticError",))
    )
    calls: list[object] = []

    def fail(message: Message[Any]) -> None:
        calls.append(message.payload)
        raise ZeroDivisionError("for good")

    put(binder, b"1")
    consume(binder, sink(binder, fail, binding), binding)
    assert calls == [1]
    assert [letter.attempts for letter in letters(binder)] == [1]


def test_other_partitions_go_on_while_one_is_tried_again(binder: MemoryBinder) -> None:
    patient = dataclasses.replace(CONSUMER, retry_initial_ms=3_600_000, retry_max_ms=3_600_000)
    binding = dataclasses.replace(BINDING, consumer=patient)
    seen: list[object] = []

    def fail(message: Message[Any]) -> None:
        if message.payload == "bad":
            raise ZeroDivisionError
        seen.append(message.payload)

    put(binder, b'"bad"')
    with running(binder, binding, sink(binder, fail, binding)):
        for number in range(3):
            binder.append(ProducerRecord("things", b"x", str(number).encode(), partition=0))
        wait_until(lambda: seen == [0, 1, 2], "the other partition is handled")
    assert letters(binder) == []
    assert 1 not in binder._groups[("things", "readers")].committed


def test_a_server_that_is_away_is_waited_for_and_parks_nothing(binder: MemoryBinder) -> None:
    outage, calls = Outage(), []
    outage.away.set()

    def need(message: Message[Any]) -> None:
        calls.append(message.payload)
        outage.check()

    put(binder, b"1")
    with running(binder, BINDING, sink(binder, need)):
        wait_until(lambda: len(calls) > 2 * CONSUMER.retry_attempts, "tried more often than an error is")
        outage.away.clear()
        wait_until(lambda: binder._groups[("things", "readers")].committed.get(1) == 1, "done")
    assert letters(binder) == []


def test_too_many_in_a_row_stop_the_worker_with_what_to_do(binder: MemoryBinder) -> None:
    for number in range(30):
        put(binder, str(number).encode())
    with (
        pytest.raises(TooManyDeadLettersError, match=r"10 messages in a row .*\['dead_letter_limit'\].*offset 10: not"),
        running(binder, BINDING, sink(binder, refuse)) as worker,
    ):
        wait_until(lambda: worker.ended, "ended")
    assert len(letters(binder)) == 10
    assert binder._groups[("things", "readers")].committed == {1: 10}
    # Whoever starts it again goes on behind them.
    with pytest.raises(TooManyDeadLettersError), running(binder, BINDING, sink(binder, refuse)) as worker:
        wait_until(lambda: worker.ended, "ended")
    assert [letter.origin.offset for letter in letters(binder)] == list(range(20))


def test_a_handled_message_ends_the_row(binder: MemoryBinder) -> None:
    def refuse_most(message: Message[Any]) -> None:
        if message.payload % 10:
            raise RejectedError("no")

    for number in range(1, 60):
        put(binder, str(number).encode())
    consume(binder, sink(binder, refuse_most))
    assert len(letters(binder)) == 54


def test_a_crash_between_parking_and_committing_parks_twice_under_one_id(binder: MemoryBinder) -> None:
    put(binder, b"1")
    crash = armed(FailPoint.DEAD_LETTER_PARKED_NOT_COMMITTED)
    with crash, pytest.raises(Crashed), running(binder, BINDING, sink(binder, refuse)) as worker:
        wait_until(lambda: worker.ended, "ended")
    assert binder._groups[("things", "readers")].committed == {}
    consume(binder, sink(binder, refuse))
    first, second = letters(binder)
    assert first.origin == second.origin


def test_what_comes_again_in_one_process_is_parked_once(binder: MemoryBinder) -> None:
    place, record = parking(binder), ConsumerRecord("things", 1, 5, b"k", b"1", (), 7)
    for _ in range(3):
        place.reject(record, RejectedError("no"))
    # The same offset of a topic that was created again is another record.
    place.reject(dataclasses.replace(record, timestamp_ms=8), RejectedError("no"))
    assert [letter.origin for letter in letters(binder)] == [Origin(1, 5, 7), Origin(1, 5, 8)]


def test_a_replay_that_fails_again_keeps_its_origin_and_that_of_another_group_is_passed_over(
    binder: MemoryBinder,
) -> None:
    ours = {"dead-letter-id": b"1-4-99", "dead-letter-group": b"readers"}
    put(binder, b"1", **ours)
    put(binder, b"2", **{**ours, "dead-letter-group": b"others"})
    consume(binder, sink(binder, refuse))
    [letter] = letters(binder)
    assert (letter.origin, letter.value, letter.headers) == (Origin(1, 4, 99), b"1", ())


@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from(["dead-letter-id", "dead-letter-group", "dead-letter-mark", "dead-letter-settles", "x"]),
            st.binary(max_size=30),
        )
    ),
    value=st.none() | st.binary(max_size=50),
)
def test_foreign_headers_break_neither_parking_nor_reading(
    headers: list[tuple[str, bytes]], value: bytes | None
) -> None:
    record = ConsumerRecord("things", 0, 3, b"k", value, tuple(headers), 4)
    letter = letter_for(record, ValueError("\ud800"), group="readers", attempts=1, now_ms=5)
    parked = as_record(letter, PARKED, 0)
    back = read(ConsumerRecord(PARKED, 0, 0, parked.key, parked.value, parked.headers, 0))
    assert isinstance(back, DeadLetterRecord)
    assert (back.value, back.key, back.origin) == (value, b"k", origin_of(record, "readers"))
    with contextlib.suppress(ConversionError):
        read(record)


def test_a_sink_without_the_error_handler_of_its_dead_letters_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"\['dead_letters'\] is True; .*error_handler_for\(binding\)"):
        Sink(BINDING, refuse)
    Sink(dataclasses.replace(BINDING, consumer=ConsumerSettings()), refuse)


# On a real Kafka.


@pytest.fixture
def kafka(kafka_bootstrap_servers: str) -> KafkaBinder:
    return KafkaBinder("kafka", {"bootstrap_servers": kafka_bootstrap_servers.split(",")})


@pytest.fixture
def binding(kafka_bootstrap_servers: str) -> Binding:
    """Its dead-letter topic is not there yet."""
    topic = new_topic(kafka_bootstrap_servers, 2)
    properties = {"max_block_ms": 500, "max_request_size": 3_000_000}
    consumer = dataclasses.replace(CONSUMER, dead_letter_limit=10_000)
    return Binding(
        "in", topic, "kafka", group=f"group-of-{topic}", consumer=consumer, producer=ProducerSettings(None, properties)
    )


def make_dead_letter_topic(servers: str, binding: Binding, **configs: str) -> None:
    with admin(servers) as client:
        wanted = {"num_partitions": 2, "replication_factor": 1, "configs": configs}
        client.create_topics({dead_letter_binding(binding).destination: wanted})


def kafka_letters(kafka: KafkaBinder, binding: Binding) -> Iterator[DeadLetterRecord]:
    for record in kafka.read(dead_letter_binding(binding)):
        found = read(record)
        assert isinstance(found, DeadLetterRecord)
        yield found


def committed(kafka_bootstrap_servers: str, binding: Binding) -> dict[int, int]:
    with admin(kafka_bootstrap_servers) as client:
        offsets = client.list_group_offsets([binding.group])
        return {at.partition: each.offset for at, each in offsets[binding.group].items() if each.offset >= 0}


def test_the_offset_waits_for_the_dead_letter_topic(
    kafka: KafkaBinder, binding: Binding, kafka_bootstrap_servers: str, caplog: pytest.LogCaptureFixture
) -> None:
    channel = Channel(binding, kafka)
    for value in (b'"good"', b"{", b'"after"'):
        channel.publish(ProducerRecord(binding.destination, b"k", value, partition=0)).result(10)
    seen: list[object] = []
    with running(kafka, binding, sink(kafka, lambda message: seen.append(message.payload), binding)):
        wait_until(lambda: "worker.paused" in [each.message for each in caplog.records], "paused")
        assert seen == ["good"]
        assert committed(kafka_bootstrap_servers, binding) == {}
        make_dead_letter_topic(kafka_bootstrap_servers, binding)
        wait_until(lambda: seen == ["good", "after"], "goes on when the topic is there", timeout_s=60)
    assert committed(kafka_bootstrap_servers, binding) == {0: 3}
    assert [letter.value for letter in kafka_letters(kafka, binding)] == [b"{"]
    channel.close(5)


def test_what_the_dead_letter_topic_finds_too_large_is_parked_without_its_body(
    kafka: KafkaBinder, binding: Binding, kafka_bootstrap_servers: str
) -> None:
    make_dead_letter_topic(kafka_bootstrap_servers, binding, **{"max.message.bytes": "20000"})
    channel = Channel(binding, kafka)
    huge = b"{" + b"x" * 100_000
    channel.publish(ProducerRecord(binding.destination, b"k", huge, partition=1)).result(10)
    consume(kafka, sink(kafka, refuse, binding), binding)
    [letter] = kafka_letters(kafka, binding)
    assert (letter.value, letter.omitted, letter.key) == (None, True, b"k")
    assert committed(kafka_bootstrap_servers, binding) == {1: 1}
    channel.close(5)
