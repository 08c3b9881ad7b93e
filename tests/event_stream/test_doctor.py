"""`manage.py doctor` on real servers, sound and broken: each fault has its line and its exit code."""

import io
import json
import shutil
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient
from pytest_django import Settings
from redis import Redis

from devstack.kafka import Kafka, kafka_cluster
from devstack.ports import free_port
from devstack.process import start_in_parallel, stop_in_parallel
from devstack.valkey import Valkey
from event_stream import Message, ProducerRecord, RejectedError, Sink
from event_stream.clock import SystemClock
from event_stream.consumer.pauses import NO_PAUSES, Pauses
from event_stream.consumer.worker import StopCondition, Worker
from event_stream.dead_letters import error_handler_for
from event_stream.doctor import Finding, Level, bindings, database, examine, redis
from event_stream.errors import PublishError, UnavailableError
from event_stream.messaging.binder import Group
from event_stream.messaging.channel import registry
from event_stream.outbox import emit
from tests.event_stream.cache_world import caches_at, new_cache
from tests.event_stream.demo.models import BINDING, Widget
from tests.event_stream.kafka_topics import new_topic
from tests.event_stream.leaks import failed_connections, lets_sockets_leak
from tests.event_stream.outbox_world import event_stream, relaying, sql, until
from tests.event_stream.read_only import read_only

# Checks run on threads with connections of their own.
pytestmark = pytest.mark.django_db(transaction=True)


@dataclass(frozen=True, slots=True)
class Report:
    """What the command has said, and its exit code."""

    code: int
    findings: list[dict[str, str]]

    def of(self, subject: str) -> list[tuple[Level, str]]:
        return [(Level(each["level"]), each["text"]) for each in self.findings if each["subject"] == subject]

    def level(self, subject: str) -> Level:
        [(level, _)] = self.of(subject)
        return level


def run(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("doctor", *arguments, stdout=out)
    except CommandError as error:
        return error.returncode, out.getvalue()
    return 0, out.getvalue()


def report() -> Report:
    code, text = run("--json")
    found = json.loads(text)
    assert {0: "ok", 3: "warning", 4: "failed", 5: "unknown"}[code] == found["level"]
    bad = [each for each in found["findings"] if each["level"] in {Level.WARNING, Level.FAILED}]
    assert all(each["remedy"] for each in bad), bad
    return Report(code, found["findings"])


def use(settings: Settings, *, dead_letters: bool = False, binder: dict[str, Any], **bindings: str) -> None:
    """Bindings with these destinations, each read by a group that is called like the binding."""
    consumer = {"dead_letters": dead_letters}
    made = {name: {"destination": topic, "group": name, "consumer": consumer} for name, topic in bindings.items()}
    settings.EVENT_STREAM = {"binders": {"main": binder}, "bindings": made}


@pytest.fixture
def kafka(kafka_bootstrap_servers: str) -> Iterator[dict[str, Any]]:
    """The tests' broker as an entry of the setting."""
    yield {"type": "kafka", "bootstrap_servers": kafka_bootstrap_servers.split(",")}
    registry().close()


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("doctor") / "valkey", durable=False) as server:
        yield server


def test_a_sound_service(settings: Settings, kafka: dict[str, Any], kafka_bootstrap_servers: str) -> None:
    use(settings, binder=kafka, here=new_topic(kafka_bootstrap_servers, 4))
    with relaying() as relay:
        until(lambda: relay.is_leader)
        found = report()
    topic = settings.EVENT_STREAM["bindings"]["here"]["destination"]
    assert found.of(f"topic {topic}") == [(Level.OK, "4 partitions, 1 copy of each, 1 to be in sync")]
    for subject in (
        "settings",
        "database",
        "writes to the database",
        "clock of the database",
        "migrations",
        "relay",
        "outbox",
        "triggers",
    ):
        assert found.level(subject) is Level.OK
    # A single broker is all that a test has.
    assert [each["subject"] for each in found.findings if each["level"] != "ok"] == ["broker main"]
    assert found.code == 3


def test_a_read_only_database_is_no_sound_one(settings: Settings, kafka: dict[str, Any]) -> None:
    use(settings, binder=kafka)
    with read_only():
        found = report()
    connections.close_all()
    [(level, text)] = found.of("writes to the database")
    assert level is Level.FAILED
    assert text.startswith("it is read-only: no write succeeds, nobody can log in")


def test_a_line_each_with_what_to_do(settings: Settings, kafka: dict[str, Any]) -> None:
    use(settings, binder=kafka, away="no-such-topic")
    code, text = run()
    assert code == 4
    remedy = "create it, with the partitions and the copies that it should have"
    assert f"failed   topic no-such-topic: is not there -> {remedy}" in text.splitlines()
    # The other one is the relay, of which there is none.
    assert text.splitlines()[-1].startswith("2 failed, 1 warning, ")


@lets_sockets_leak
def test_a_broker_that_is_away(settings: Settings) -> None:
    use(settings, binder={"type": "kafka", "bootstrap_servers": [f"127.0.0.1:{free_port()}"]}, a="one", b="two")
    with failed_connections():
        found = report()
    [(level, text)] = found.of("broker main")
    assert level is Level.FAILED
    assert "no Kafka broker" in text
    assert (found.level("topic one"), found.level("topic two")) == (Level.UNKNOWN, Level.UNKNOWN)
    assert found.level("database") is Level.OK
    assert found.code == 4


def test_a_platform_that_does_not_tell(settings: Settings) -> None:
    use(settings, binder={"type": "memory"}, a="one")
    with relaying() as relay:
        until(lambda: relay.is_leader)
        found = report()
    assert found.of("broker main") == [(Level.NOT_TOLD, "not known on this platform")]
    assert found.code == 0


def test_dead_letters_need_a_topic_like_their_source(
    settings: Settings, kafka: dict[str, Any], kafka_bootstrap_servers: str
) -> None:
    topic = new_topic(kafka_bootstrap_servers, 3)
    use(settings, binder=kafka, readers=topic, dead_letters=True)
    assert report().of(f"topic {topic}.readers.dlq") == [(Level.FAILED, "is not there")]
    client = KafkaAdminClient(bootstrap_servers=kafka["bootstrap_servers"])
    client.create_topics({f"{topic}.readers.dlq": {"num_partitions": 2, "replication_factor": 1}})
    client.close()
    found = report()
    assert (Level.FAILED, "has 2 partitions where 3 should be, as many as its source") in found.of(
        f"topic {topic}.readers.dlq"
    )
    assert any("without their bodies" in text for _, text in found.of(f"topic {topic}.readers.dlq"))
    assert found.code == 4


def test_a_database_that_is_away(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    use(settings, binder={"type": "memory"}, a="one")
    monkeypatch.setitem(connections["default"].settings_dict, "PORT", free_port())
    found = report()
    [(level, text)] = found.of("database")
    assert level is Level.FAILED
    assert "refused" in text
    assert (found.level("migrations"), found.level("outbox")) == (Level.UNKNOWN, Level.UNKNOWN)
    assert found.code == 4


def test_a_wrong_setting_has_its_line(settings: Settings) -> None:
    settings.EVENT_STREAM = {"binders": {"main": {"type": "memory"}}, "bindings": {"a": {}}}
    found = report()
    assert any("['bindings']['a']['destination'] is missing" in text for _, text in found.of("settings"))
    assert found.code == 4


# The group that reads.


def of_group(name: str = "readers") -> list[Finding]:
    return list(bindings.check_group(name, worker="manage.py read"))


def last(findings: list[Finding]) -> tuple[Level, str]:
    return findings[-1].level, findings[-1].text


def test_a_group_that_nobody_reads_for_and_one_that_lost_messages(
    settings: Settings, kafka: dict[str, Any], kafka_bootstrap_servers: str
) -> None:
    topic = new_topic(kafka_bootstrap_servers, 2)
    use(settings, binder=kafka, readers=topic)
    for number in range(5):
        record = ProducerRecord(topic, b"k", b"%d" % number, (), number % 2)
        registry().channel("readers").publish(record).result(10)
    assert last(of_group()) == (Level.FAILED, "nobody reads, and 5 messages wait")
    client = KafkaAdminClient(bootstrap_servers=kafka["bootstrap_servers"])
    client.delete_records({TopicPartition(topic, 0): 2})
    client.close()
    found = [(each.level, each.text) for each in of_group()]
    # One that has committed nothing begins at the start, wherever that is by now.
    assert found[-1] == (Level.FAILED, "nobody reads, and 3 messages wait")
    Worker("readers", Sink(registry().channel("readers").binding, lambda _: None)).run(
        lambda: False, StopCondition.CAUGHT_UP
    )
    assert last(of_group()) == (Level.FAILED, "nobody reads, and 0 messages wait")
    for number in range(3):
        registry().channel("readers").publish(ProducerRecord(topic, b"k", b"%d" % number, (), 1)).result(10)
    client = KafkaAdminClient(bootstrap_servers=kafka["bootstrap_servers"])
    client.delete_records({TopicPartition(topic, 1): 4})
    client.close()
    assert any("2 messages were deleted by the topic's retention" in each.text for each in of_group())


def test_a_group_that_is_read_for(settings: Settings, kafka: dict[str, Any], kafka_bootstrap_servers: str) -> None:
    topic = new_topic(kafka_bootstrap_servers, 2)
    use(settings, binder=kafka, readers=topic)
    done = threading.Event()
    worker = Worker("readers", Sink(registry().channel("readers").binding, lambda _: None))
    thread = threading.Thread(target=worker.run, args=(done.is_set,))
    thread.start()
    try:
        until(lambda: worker.ready)
        assert last(of_group()) == (Level.OK, "1 member, 0 messages waiting")
    finally:
        done.set()
        thread.join()


def test_parking_that_may_take_longer_than_a_member_may(settings: Settings, kafka: dict[str, Any]) -> None:
    use(settings, binder=kafka, readers="any", dead_letters=True)
    settings.EVENT_STREAM["bindings"]["readers"]["consumer"]["dead_letter_limit"] = 25
    settings.EVENT_STREAM = {**settings.EVENT_STREAM}
    [budget] = [each for each in of_group() if each.subject.endswith("poll budget")]
    assert (budget.level, "can take 300 s" in budget.text) == (Level.WARNING, True)


def test_dead_letters_that_wait(settings: Settings) -> None:
    use(settings, binder={"type": "memory"}, readers="things", dead_letters=True)
    assert report().of("dead letters of readers") == [(Level.OK, "none")]

    def refuse(_: Message[Any]) -> None:
        raise RejectedError("never")

    registry().channel("readers").publish(ProducerRecord("things", b"k", b"1")).result()
    binding = registry().channel("readers").binding
    sink = Sink(binding, refuse, error_handler=error_handler_for(binding))
    Worker("readers", sink).run(lambda: False, StopCondition.CAUGHT_UP)
    [(level, text)] = report().of("dead letters of readers")
    assert (level, text.startswith("1 wait, the oldest for 0:00:0")) == (Level.WARNING, True)
    registry().close()


# A cluster: copies, and how many of them have to be in sync.


def test_copies_of_a_topic(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> None:
    session = {"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "500"}
    nodes = kafka_cluster(tmp_path_factory.mktemp("cluster"), settings=session)
    start_in_parallel(nodes)
    try:
        servers = [node.bootstrap_servers for node in nodes]
        client = KafkaAdminClient(bootstrap_servers=servers)
        for name, copies, in_sync in (("sound", 3, 2), ("trusting", 3, 1), ("strict", 3, 3), ("single", 1, 1)):
            configs = {"min.insync.replicas": str(in_sync)}
            client.create_topics(
                {name: {"num_partitions": 1, "replication_factor": copies, "configs": configs}}, wait_for_metadata=True
            )
        client.close()
        binder = {"type": "kafka", "bootstrap_servers": servers}
        use(settings, binder=binder, sound="sound", trusting="trusting", strict="strict", single="single")
        found = report()
        assert found.of("broker main") == [(Level.OK, "answers, 3 of them")]
        assert found.of("topic sound") == [(Level.OK, "1 partitions, 3 copies of each, 2 to be in sync")]
        for name, part in (
            ("trusting", "one copy alone has"),
            ("strict", "needs all of its 3"),
            ("single", "has one copy"),
        ):
            [(level, text)] = found.of(f"topic {name}")
            assert (level, part in text) == (Level.WARNING, True)
        with failed_connections():
            nodes[2].kill()
            until(lambda: report().of("topic sound") == [(Level.WARNING, "2 of 3 copies are in sync")], within_s=60)
            assert (Level.FAILED, "takes no message: 2 copies are in sync, 3 have to be") in report().of("topic strict")
            registry().close()
    finally:
        stop_in_parallel(nodes)


# Redis.


def of_redis(url: str) -> dict[str, Finding]:
    with caches_at(url, SOCKET_CONNECT_TIMEOUT=1, SOCKET_TIMEOUT=1):
        cache = new_cache(SystemClock(), partitions=2)
        return {each.subject: each for each in redis.check(cache, worker="manage.py read", remedy="say the same")}


@pytest.mark.parametrize(
    ("policy", "level"),
    [
        ("noeviction", Level.OK),
        ("volatile-lfu", Level.OK),
        ("volatile-ttl", Level.WARNING),
        ("allkeys-lru", Level.WARNING),
    ],
)
def test_what_redis_forgets_first(valkey: Valkey, policy: str, level: Level) -> None:
    with Redis.from_url(valkey.url()) as client:
        client.config_set("maxmemory-policy", policy)
    found = of_redis(valkey.url())
    assert found["Redis eviction"].level is level
    assert policy in found["Redis eviction"].text
    assert (found["Redis"].level, found["clock of Redis"].level) == (Level.OK, Level.OK)


def test_a_redis_that_is_nearly_full_or_can_not_keep_what_it_has(valkey: Valkey) -> None:
    with Redis.from_url(valkey.url()) as client:
        assert of_redis(valkey.url())["Redis memory"].level is Level.OK
        client.config_set("maxmemory", client.info()["used_memory"])
        assert of_redis(valkey.url())["Redis memory"].level is Level.WARNING
        client.config_set("maxmemory", 0)
        assert of_redis(valkey.url())["Redis persistence"].level is Level.OK
        shutil.rmtree(valkey.data_dir)
        client.bgsave()
        until(lambda: of_redis(valkey.url())["Redis persistence"].level is Level.WARNING)
        valkey.data_dir.mkdir()


@pytest.mark.parametrize("frozen", [False, True], ids=["killed", "frozen"])
def test_a_redis_that_is_away(tmp_path: Path, frozen: bool) -> None:
    with Valkey(tmp_path / "valkey", durable=False) as server:
        server.pause() if frozen else server.kill()
        try:
            found = of_redis(server.url())
        finally:
            if frozen:
                server.resume()
    assert (found["Redis"].level, found["watermarks"].level) == (Level.FAILED, Level.UNKNOWN)
    assert found["Redis"].remedy


def test_watermarks_that_stand_still(redis_url: str) -> None:
    with caches_at(redis_url):
        cache = new_cache(SystemClock(), partitions=2, max_staleness_s=10)

        def watermarks() -> Finding:
            [found] = [each for each in redis.check(cache, worker="w", remedy="r") if each.subject == "watermarks"]
            return found

        assert "2 of 2 partitions have had no heartbeat" in watermarks().text
        epoch = f"{cache.shared.fingerprint}.e".encode()
        now_ms = SystemClock().now_ms()
        for age_s, level, part in (
            (60, Level.WARNING, "2 of 2 are older than 10 s, one by 60 s"),
            (0, Level.OK, "s old, 10 s are allowed"),
            (-300, Level.WARNING, "ahead of this machine's clock"),
        ):
            for partition in range(2):
                cache.scripts.redis.set(cache.keys.watermark(partition), b"%b|1|%d" % (epoch, now_ms - age_s * 1000))
            assert watermarks().level is level
            assert part in watermarks().text


def test_the_watermark_of_a_paused_partition_may_stand_still(redis_url: str) -> None:
    with caches_at(redis_url):
        cache = new_cache(SystemClock(), partitions=2, max_staleness_s=10)
        now_ms = SystemClock().now_ms()
        for partition, age_s in ((0, 0), (1, 600)):
            mark = b"%b|1|%d" % (f"{cache.shared.fingerprint}.e".encode(), now_ms - age_s * 1000)
            cache.scripts.redis.set(cache.keys.watermark(partition), mark)
        paused = Pauses(partitions=frozenset({1}))
        found = redis.check(cache, worker="w", remedy="r", paused=paused)
        watermarks = [each for each in found if each.subject == "watermarks"]
        assert [each.level for each in watermarks] == [Level.OK, Level.OK]
        assert "paused on purpose: partition 1;" in watermarks[0].text


def test_a_paused_group_may_fall_behind() -> None:
    group = Group(members=1, waiting=bindings.WAITING_NOTED + 1)
    [behind] = bindings.group_findings("group g", group, "w", NO_PAUSES)
    [paused] = bindings.group_findings("group g", group, "w", Pauses(whole=True))
    assert (behind.level, paused.level) == (Level.WARNING, Level.OK)
    assert paused.text == "1 member, 10001 messages waiting; paused on purpose: every partition"


@pytest.mark.parametrize(("apart_s", "level"), [(0.5, "ok"), (-5, "warning"), (20, "failed"), (-20, "failed")])
def test_clocks_that_are_apart(apart_s: float, level: str) -> None:
    found = database.clock("clock", lambda: time.time() + apart_s)
    assert found.level == level
    assert ("ahead of" if apart_s > 0 else "behind") in found.text


# The outbox.


def test_a_backlog_parked_messages_and_a_trigger_that_is_off(settings: Settings) -> None:
    settings.EVENT_STREAM = event_stream("memory")
    with transaction.atomic():
        emit(BINDING, Message({}, key="old"), version=None)
        emit(BINDING, Message({}, key="parked"), version=None)
    sql("UPDATE event_stream_outbox SET written_at = now() - interval '1 minute'")
    sql("UPDATE event_stream_outbox SET parked_at = now(), error = 'too large' WHERE key = 'parked'")
    sql(f"ALTER TABLE {Widget._meta.db_table} DISABLE TRIGGER USER")
    try:
        found = report()
    finally:
        sql(f"ALTER TABLE {Widget._meta.db_table} ENABLE TRIGGER USER")
    assert found.of("relay") == [(Level.FAILED, "none leads: nothing is published, and no heartbeat is sent")]
    [(level, text)] = found.of("outbox")
    assert (level, text.startswith("1 unsent, the oldest for 6")) == (Level.WARNING, True)
    assert found.of("parked messages") == [(Level.WARNING, "1 can't be sent")]
    [(level, text)] = found.of("triggers")
    assert (level, "outbox_guard of" in text, "is not enabled" in text) == (Level.FAILED, True, True)


# Checks themselves.


def test_what_could_not_be_checked_is_no_all_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Finding(Level.OK, "a", ""), Finding(Level.UNKNOWN, "b", ""), Finding(Level.WARNING, "c", "", "do")]
    monkeypatch.setattr("event_stream.management.commands.doctor.registered", lambda: {"all": lambda: found})
    assert report().code == 5
    found[1] = Finding(Level.NOT_TOLD, "b", "")
    assert report().code == 3
    found.append(Finding(Level.UNKNOWN, "d", ""))
    found.append(Finding(Level.FAILED, "e", "", "do"))
    assert report().code == 4


def test_a_check_that_hangs_or_breaks_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    hanging = threading.Event()

    def hang() -> Iterator[Finding]:
        hanging.wait()
        yield from ()

    def break_() -> Iterator[Finding]:
        raise ZeroDivisionError("oops")

    def work() -> Iterator[Finding]:
        yield Finding(Level.OK, "fine", "is well")

    try:
        found = list(examine({"hang": hang, "break": break_, "work": work}, deadline_s=0.2))
    finally:
        hanging.set()
    assert [(each.subject, each.level) for each in found] == [
        ("hang", Level.FAILED),
        ("break", Level.FAILED),
        ("fine", Level.OK),
    ]
    assert "ZeroDivisionError: oops" in found[1].text
    assert "oops" in caplog.text


def test_a_topic_that_forgets_all_but_the_last_message_of_a_key(
    settings: Settings, kafka: dict[str, Any], kafka_bootstrap_servers: str
) -> None:
    topic = new_topic(kafka_bootstrap_servers, 4, configs={"cleanup.policy": "compact,delete"})
    use(settings, binder=kafka, here=topic)
    [(level, text)] = report().of(f"topic {topic}")
    assert (level, text.startswith("is compacted: ")) == (Level.WARNING, True)


@lets_sockets_leak
def test_a_broker_that_advertises_an_address_where_nobody_is(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The doctor, a relay and a worker name it and the cause; the log does so once for each of their connections."""
    nowhere = f"127.0.0.1:{free_port()}"
    advertised = {"advertised.listeners": f"PLAINTEXT://{nowhere}"}
    told = (
        f"advertises a broker at {nowhere}, which can't be reached from here: correct the broker's advertised.listeners"
    )
    with Kafka(tmp_path / "kafka", settings=advertised) as broker:
        binder = {"type": "kafka", "bootstrap_servers": [broker.bootstrap_servers]}
        use(settings, binder=binder, here="topic")
        [(level, text)] = report().of("broker main")
        assert (level, told in text) == (Level.FAILED, True), text
        channel = registry().channel("here")
        binder_of = registry().binder("main")
        producer = binder_of.producer(channel.binding)
        with pytest.raises(PublishError, match=told):
            producer.send(ProducerRecord("topic", b"key", b"value", ())).result(30)
        caplog.clear()
        consumer = binder_of.consumer(channel.binding, Silent())
        with pytest.raises(UnavailableError, match=told):
            for _ in range(60):
                consumer.poll(0.5, 1)
        lines = [record for record in caplog.records if record.message == "kafka.advertised_unreachable"]
        assert [vars(record)["address"] for record in lines] == [nowhere]
        consumer.close()
        producer.close(0)
    registry().close()


class Silent:
    def assigned(self, partitions: Collection[int]) -> None: ...
    def revoked(self, partitions: Collection[int]) -> None: ...
    def lost(self, partitions: Collection[int]) -> None: ...
