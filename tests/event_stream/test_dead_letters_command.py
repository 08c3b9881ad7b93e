"""`manage.py dead_letters`: what failed is listed, shown, and settled once."""

import io
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from event_stream import (
    Binding,
    Channel,
    ConfigurationError,
    Message,
    ProducerRecord,
    RejectedError,
    Sink,
    UnsendableError,
)
from event_stream.binders.memory import MemoryBinder
from event_stream.consumer.worker import StopCondition, Worker
from event_stream.dead_letters import dead_letter_binding, dead_letter_channel, error_handler_for, key_blocker
from event_stream.dead_letters.log import dead_letter_log
from event_stream.dead_letters.replay import ReplayService
from event_stream.management.commands import dead_letters
from event_stream.messaging.channel import registry
from event_stream.messaging.message import RecordMetadata
from event_stream.testing.waiting import wait_until
from tests.event_stream.kafka_topics import admin, new_topic

PARKED = "things.readers.dlq"


class World:
    """A worker whose function refuses what `refused` says, and the command."""

    def __init__(self, binding: Binding) -> None:
        self.binding = binding
        self.refused: set[Any] = set()
        self.handled: list[object] = []

    def put(self, value: object, key: bytes | None = b"k", partition: int = 1, destination: str | None = None) -> None:
        record = ProducerRecord(
            destination or self.binding.destination, key, json.dumps(value).encode(), (("h", b"1"),), partition
        )
        registry().channel(self.binding.name).publish(record).result(10)

    def consume(self) -> None:
        sink = Sink(self.binding, self._receive, error_handler=error_handler_for(self.binding))
        Worker(self.binding.name, sink).run(lambda: False, StopCondition.CAUGHT_UP)

    def _receive(self, message: Message[Any]) -> None:
        if message.payload in self.refused:
            raise RejectedError(f"{message.payload} is refused")
        self.handled.append(message.payload)

    def command(self, *arguments: str) -> str:
        out = io.StringIO()
        call_command("dead_letters", *arguments, stdout=out, stderr=out)
        return out.getvalue()

    def open(self) -> list[Any]:
        found = [json.loads(line) for line in self.command("list", "--json").splitlines()]
        return [json.loads(each["body"]) for each in found]

    def ids(self) -> list[str]:
        return [json.loads(line)["id"] for line in self.command("list", "--json").splitlines()]


def configured(settings: Settings, destination: str, binder: dict[str, Any]) -> World:
    consumer = {"dead_letters": True, "retry_initial_ms": 1, "idle_interval_ms": 20}
    binding = {"destination": destination, "group": "readers", "consumer": consumer}
    settings.EVENT_STREAM = {"binders": {"b": binder}, "bindings": {"in": binding, "out": {"destination": "x"}}}
    return World(registry().channel("in").binding)


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    yield configured(settings, "things", {"type": "memory", "partitions": 2})
    registry().close()


@pytest.fixture
def platform(world: World) -> MemoryBinder:
    binder = registry().binder("b")
    assert isinstance(binder, MemoryBinder)
    return binder


@pytest.fixture
def failed(world: World) -> World:
    """Of one to four, two and three are parked."""
    world.refused = {2, 3}
    for number in (1, 2, 3, 4):
        world.put(number)
    world.consume()
    assert (world.handled, world.open()) == ([1, 4], [2, 3])
    return world


def test_lists_and_shows_what_is_known(failed: World) -> None:
    listed = failed.command("list")
    assert "RejectedError: 2 is refused" in listed
    assert f"2 dead letters in {PARKED}" in listed
    [shown] = [json.loads(line) for line in failed.command("show", "--json", failed.ids()[0]).splitlines()]
    assert (shown["from"], shown["group"], shown["attempts"]) == ("things[1] at offset 1", "readers", 1)
    assert (shown["key"], shown["body"], shown["headers"]) == ("k", "2", {"h": "1"})
    assert "in _receive" in shown["traceback"]
    assert "traceback:\n    Traceback" in failed.command("show", failed.ids()[0])


def test_a_key_from_outside_does_not_steer_the_terminal(world: World) -> None:
    world.refused = {1}
    world.put(1, key=b"\x1b[2J\r\x00\xe2\x80\xae")
    world.consume()
    listed = world.command("list") + world.command("show") + world.command("discard", "--all", "--dry-run")
    assert not set(listed) & set("\x1b\r\x00\u202e")
    shown = "\\u001b[2J\\u000d\\u0000\\u202e"
    assert f"key {shown}" in listed
    assert "1 dead letters" in world.command("list", "--key", shown)


def test_a_replay_is_handled_in_order_and_a_second_one_does_nothing(failed: World, platform: MemoryBinder) -> None:
    failed.refused = set()
    assert "2 dead letters replayed" in failed.command("replay", "--all")
    assert failed.open() == []
    assert "0 dead letters replayed" in failed.command("replay", "--all")
    failed.consume()
    assert failed.handled == [1, 4, 2, 3]
    assert [record.key for record in platform.sent("things")] == [b"k"] * 6
    assert ("h", b"1") in platform.sent("things")[-1].headers


def test_what_fails_again_is_open_again_under_its_id(failed: World) -> None:
    before = failed.ids()
    failed.command("replay", "--all")
    failed.consume()
    assert failed.ids() == before
    failed.refused = {3}
    failed.command("replay", "--all")
    failed.consume()
    assert failed.ids() == before[1:]


def test_what_fails_again_before_it_is_marked_is_open_again(failed: World, platform: MemoryBinder) -> None:
    parked = dead_letter_channel(failed.binding)

    class Fast(ReplayService):
        """The worker is faster than the mark."""

        def _mark(self, *mark: Any) -> None:
            failed.consume()
            super()._mark(*mark)

    letters = dead_letter_log(parked.read()).letters
    assert [each.problem for each in Fast(registry().channel("in"), parked).replay(letters)] == [None, None]
    assert failed.open() == [2, 3]


def test_killed_between_sending_and_marking_it_sends_again_and_loses_nothing(failed: World) -> None:
    parked = dead_letter_channel(failed.binding)

    class Killed(ReplayService):
        def _mark(self, *mark: Any) -> None:
            raise SystemExit

    with pytest.raises(SystemExit):
        list(Killed(registry().channel("in"), parked).replay(dead_letter_log(parked.read()).letters))
    assert failed.open() == [2, 3]
    failed.refused = set()
    failed.command("replay", "--all")
    failed.consume()
    assert failed.handled == [1, 4, 2, 2, 3]


def test_a_copy_that_a_crash_left_is_one_letter_and_settled_as_one(failed: World, platform: MemoryBinder) -> None:
    for record in platform.sent(PARKED):
        platform.append(ProducerRecord(PARKED, record.key, record.value, record.headers, record.partition))
    assert failed.open() == [2, 3]
    failed.command("discard", "--all")
    assert failed.open() == []


def test_discarding_sends_nothing(failed: World, platform: MemoryBinder) -> None:
    assert "1 dead letters discarded" in failed.command("discard", failed.ids()[0])
    assert failed.open() == [3]
    assert len(platform.sent("things")) == 4
    with pytest.raises(CommandError, match="no open letter 1-1-"):
        failed.command("discard", "1-1-1")


@pytest.mark.parametrize("verb", ["replay", "discard"])
def test_a_dry_run_changes_nothing(failed: World, platform: MemoryBinder, verb: str) -> None:
    before = [len(platform.sent(name)) for name in ("things", PARKED)]
    said = failed.command(verb, "--all", "--dry-run")
    assert said.count(f"would {verb}") == 2
    assert "nothing was done" in said
    assert [len(platform.sent(name)) for name in ("things", PARKED)] == before


@pytest.mark.parametrize("verb", ["replay", "discard"])
def test_everything_has_to_be_asked_for(failed: World, verb: str) -> None:
    with pytest.raises(CommandError, match="--all"):
        failed.command(verb)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--error", "REFUSED"], ["a", "b", "c"]),
        (["--error", "b is"], ["b"]),
        (["--error", "ZeroDivision"], []),
        (["--key", "k2"], ["b"]),
        (["--key", "-"], ["c"]),
        (["--partition", "0"], ["c"]),
        (["--partition", "1", "--offset", "1"], ["b"]),
        (["--offset", "0-1", "--key", "k1"], ["a"]),
        (["--since", "1h"], ["a", "b", "c"]),
        (["--until", "1h"], []),
        (["--since", "2026-01-01", "--until", "2999-01-01T00:00Z"], ["a", "b", "c"]),
        (["--since", "2999-01-01"], []),
    ],
)
def test_selects(world: World, arguments: list[str], expected: list[str]) -> None:
    world.refused = {"a", "b", "c"}
    for value, key, partition in (("a", b"k1", 1), ("b", b"k2", 1), ("c", None, 0)):
        world.put(value, key, partition)
    world.consume()
    found = [json.loads(json.loads(line)["body"]) for line in world.command("list", "--json", *arguments).splitlines()]
    assert sorted(found) == expected


def test_alarms(failed: World) -> None:
    failed.command("list", "--alarm-count", "2", "--alarm-age", "1h")
    with pytest.raises(CommandError, match="more than 1") as alarm:
        failed.command("list", "--alarm-count", "1")
    assert alarm.value.returncode == 3
    wait_until(lambda: _alarms(failed, "0s"), "the letters are older than nothing")
    failed.command("discard", "--all")
    failed.command("list", "--alarm-count", "0", "--alarm-age", "0s")


def _alarms(world: World, age: str) -> bool:
    try:
        world.command("list", "--alarm-age", age)
    except CommandError as error:
        return error.returncode == 3
    return False


def test_after_one_that_can_not_be_sent_none_of_its_key_is(
    failed: World, platform: MemoryBinder, monkeypatch: pytest.MonkeyPatch
) -> None:
    append: Callable[[ProducerRecord], Any] = platform.append

    def refuse_two(record: ProducerRecord) -> Any:
        if record.destination == "things" and record.value == b"2":
            raise UnsendableError("too large")
        return append(record)

    monkeypatch.setattr(platform, "append", refuse_two)
    with pytest.raises(CommandError, match="2 dead letters could not be replayed") as left:
        failed.command("replay", "--all")
    assert left.value.returncode == 4
    assert failed.open() == [2, 3]


def test_what_is_no_letter_is_counted_and_passed_over(failed: World, platform: MemoryBinder) -> None:
    platform.append(ProducerRecord(PARKED, None, b"?", (("dead-letter-id", b"1-1"),), 0))
    assert "1 records that are none" in failed.command("list")
    assert failed.open() == [2, 3]


def test_needs_a_binding_that_parks(world: World) -> None:
    with pytest.raises(CommandError, match="those are: in"):
        world.command("list", "--binding", "out")


def test_the_same_on_kafka(settings: Settings, kafka_bootstrap_servers: str) -> None:
    servers = kafka_bootstrap_servers.split(",")
    topic = new_topic(kafka_bootstrap_servers, 2)
    world = configured(settings, topic, {"type": "kafka", "bootstrap_servers": servers})
    with pytest.raises(CommandError, match="has no topic"):
        world.command("list")
    with admin(kafka_bootstrap_servers) as client:
        client.create_topics(
            {dead_letter_binding(world.binding).destination: {"num_partitions": 2, "replication_factor": 1}}
        )
    world.refused = set(range(0, 60, 2))
    for number in range(60):
        world.put(number, f"key {number % 3}".encode(), number % 2)
    world.consume()
    assert world.open() == sorted(world.refused)
    world.refused = {10}
    world.command("replay", "--key", "key 1")
    world.consume()
    assert world.handled[30:] == [4, 16, 22, 28, 34, 40, 46, 52, 58]
    assert sorted(world.open()) == sorted({10, *(n for n in range(0, 60, 2) if n % 3 != 1)})
    world.command("discard", "--all")
    assert world.open() == []
    registry().close()


def test_a_channel_reads_what_is_there(world: World, platform: MemoryBinder) -> None:
    world.put("x")
    assert [record.value for record in Channel(world.binding, platform).read()] == [b'"x"']


class Ordered(World):
    """Its sink needs the messages of a key in order. A new worker each time: what it knows, it has read."""

    def consume(self) -> None:
        sink = Sink(self.binding, self._receive, error_handler=key_blocker(self.binding))
        Worker(self.binding.name, sink).run(lambda: False, StopCondition.CAUGHT_UP)


@pytest.fixture
def ordered(world: World) -> Ordered:
    ordered = Ordered(world.binding)
    ordered.refused = {"a1"}
    for value in ("a0", "a1", "b1", "a2", "b2", "a3"):
        ordered.put(value, value[:1].encode())
    ordered.consume()
    assert (ordered.handled, ordered.open()) == (["a0", "b1", "b2"], ["a1", "a2", "a3"])
    return ordered


def test_later_messages_of_a_key_wait_behind_the_parked_one(ordered: Ordered) -> None:
    ordered.put("a4", b"a")
    ordered.put("b3", b"b")
    ordered.put("without a key", None)
    ordered.consume()
    assert ordered.handled[3:] == ["b3", "without a key"]
    assert ordered.open() == ["a1", "a2", "a3", "a4"]
    assert "HeldError" in ordered.command("list", "--error", "heldError")


def test_replayed_in_order_they_let_the_key_go(ordered: Ordered) -> None:
    ordered.refused = set()
    ordered.command("replay", "--all")
    ordered.put("a4", b"a")
    ordered.consume()
    ordered.put("a5", b"a")
    ordered.consume()
    assert ordered.handled[3:] == ["a1", "a2", "a3", "a4", "a5"]
    assert ordered.open() == []


def test_a_live_message_does_not_overtake_a_replay_that_is_marked_and_not_handled(ordered: Ordered) -> None:
    ordered.refused = set()
    ordered.put("a4", b"a")
    ordered.command("replay", "--all")
    ordered.consume()
    assert ordered.handled[3:] == ["a1", "a2", "a3"]
    assert ordered.open() == ["a4"]
    ordered.command("replay", "--all")
    ordered.consume()
    assert ordered.handled[6:] == ["a4"]


def test_when_the_first_fails_again_the_others_wait_again(ordered: Ordered) -> None:
    ids = ordered.ids()
    ordered.command("replay", "--all")
    ordered.consume()
    assert ordered.handled == ["a0", "b1", "b2"]
    assert ordered.ids() == ids


def test_one_is_not_replayed_past_an_earlier_one(ordered: Ordered) -> None:
    with pytest.raises(CommandError, match="1 dead letters could not be replayed"):
        ordered.command("replay", ordered.ids()[1])
    ordered.command("discard", ordered.ids()[0])
    ordered.command("replay", "--all")
    ordered.put("a4", b"a")
    ordered.consume()
    assert ordered.handled[3:] == ["a2", "a3", "a4"]


def test_those_that_wait_are_no_row_that_stops_the_worker(ordered: Ordered) -> None:
    for number in range(200):
        ordered.put(f"a{number}", b"a")
    ordered.consume()
    assert len(ordered.open()) == 203


def test_a_sink_that_keeps_order_needs_dead_letters() -> None:
    with pytest.raises(ConfigurationError, match=r"\['dead_letters'\] is False; it should be True"):
        key_blocker(Binding("in", "things", "b", group="g"))


def test_order_is_kept_on_kafka(settings: Settings, kafka_bootstrap_servers: str) -> None:
    servers = kafka_bootstrap_servers.split(",")
    topic = new_topic(kafka_bootstrap_servers, 2)
    world = Ordered(configured(settings, topic, {"type": "kafka", "bootstrap_servers": servers}).binding)
    with admin(kafka_bootstrap_servers) as client:
        client.create_topics(
            {dead_letter_binding(world.binding).destination: {"num_partitions": 2, "replication_factor": 1}}
        )
    world.refused = {"a0", "b1"}
    for number in range(4):
        world.put(f"a{number}", b"a", 0)
        world.put(f"b{number}", b"b", 1)
        world.put(f"c{number}", b"c", 1)
    world.consume()
    assert sorted(world.handled, key=str) == ["b0", "c0", "c1", "c2", "c3"]
    world.refused, world.handled = {"a0"}, []
    world.command("replay", "--all")
    world.put("b4", b"b", 1)
    world.consume()
    assert world.handled == ["b1", "b2", "b3", "b4"]
    assert world.open() == ["a0", "a1", "a2", "a3"]
    registry().close()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--since", "999999d"),
        ("--until", "999999d"),
        ("--since", "0d1"),
        ("--since", "\u0664d\u0664"),
        ("--alarm-age", "1y"),
        ("--offset", "1-x"),
        ("--partition", "x"),
        ("--alarm-count", "1e3"),
    ],
)
def test_an_argument_that_is_none_is_named(world: World, option: str, value: str) -> None:
    with pytest.raises(CommandError, match=rf"argument {option}: .*{re.escape(value)}"):
        world.command("list", option, value)


def test_a_replay_that_is_stopped_says_how_far_it_came(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.refused = {"a", "b", "c"}
    for value in sorted(world.refused):
        world.put(value, key=value.encode())
    world.consume()
    send_back = ReplayService._send_back
    sent: list[object] = []

    def stopped(service: ReplayService, *arguments: Any) -> RecordMetadata | str:
        sent.append(arguments)
        if len(sent) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return send_back(service, *arguments)

    monkeypatch.setattr(ReplayService, "_send_back", stopped)
    with pytest.raises(SystemExit) as exit_:
        dead_letters.Command().run_from_argv(["manage.py", "dead_letters", "replay", "--all"])
    assert exit_.value.code == 143
    assert capsys.readouterr().err == (
        "CommandError: Stopped by SIGTERM. 2 of 3 are replayed; the same command goes on with the others.\n"
    )
    # What was sent when the signal came is marked as well.
    assert len(world.open()) == 1
