"""Ours and the peers as consumers of one kind: started on a topic, told apart by the keys that they have evicted."""

import contextlib
import dataclasses
import itertools
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import kafka
import redis

from benchmarks import relay
from benchmarks.errors import BenchmarkError
from benchmarks.peers import installation
from benchmarks.peers.schema_registry import schema_registry
from benchmarks.stage import Stage
from devstack import SupervisedProcess, wait_until
from devstack.django_commands import LICENSING
from devstack.environment import server_environment, service_environment
from devstack.errors import StackError
from devstack.kafka import kafka_admin
from devstack.topics import Topic, create_topics
from event_stream.messaging.partitioner import partition_for

PARTITIONS = 6
_TEMPLATE_ID = "00000000-0000-4000-8000-00000000abcd"
_GROUP_IN_S, _HANDLED_IN_S, _MARKERS_EVERY_S = 60.0, 300.0, 0.05
_names = itertools.count()


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one organization; its bytes are those of the pattern, with another id."""

    id: str
    partition: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Consumer:
    """A kind of consumer. `key` names an organization's entry: ours writes a tombstone there, a peer deletes it."""

    name: str
    argv: Sequence[Any]
    environment: Mapping[str, str]
    redis_url: str
    pattern: Event
    key: Callable[[str, int], str]
    leaves_tombstone: bool
    share: float = 1.0
    """Of a backlog that there is time for: a slow one gets a shorter one, which does not change its rate."""
    takeovers: int = 5
    """How many rounds of takeovers there is time for: each waits for the library's session timeout, 45 s at most."""

    def event(self, id: str, partitions: int) -> Event:
        old, new = _TEMPLATE_ID.encode(), id.encode()
        return Event(
            id,
            partition_for(new, partitions),
            self.pattern.key.replace(old, new),
            self.pattern.value.replace(old, new),
            self.pattern.headers,
        )


class Contest:
    """One topic and one group of one kind of consumer, both new."""

    def __init__(self, stage: Stage, consumer: Consumer, partitions: int = PARTITIONS) -> None:
        self._stage = stage
        self.consumer = consumer
        self._partitions = partitions
        self._servers = stage.servers.kafka_bootstrap_servers
        self._redis = redis.Redis.from_url(consumer.redis_url)
        name = f"contest-{next(_names)}"
        self.topic = self.group = name
        create_topics(self._servers, [Topic(name, partitions, 1, 1)])
        self._begin_at_the_start()
        self._producer = kafka.KafkaProducer(bootstrap_servers=self._servers.split(","), acks="all")

    def close(self) -> None:
        self._producer.close()
        self._redis.close()

    def _begin_at_the_start(self) -> None:
        """Commit offset 0 for the group: not every library can be told to begin with what is there."""
        with closing(
            kafka.KafkaConsumer(
                bootstrap_servers=self._servers.split(","), group_id=self.group, enable_auto_commit=False
            )
        ) as client:
            partitions = [kafka.TopicPartition(self.topic, number) for number in range(self._partitions)]
            client.assign(partitions)
            client.commit({each: kafka.OffsetAndMetadata(0, "", -1) for each in partitions})

    def process(self, number: int) -> SupervisedProcess:
        """One consumer of the group, not started yet; `ready` says nothing of its having joined."""
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": self._servers,
            "REDIS_URL": self.consumer.redis_url,
            "TOPIC": self.topic,
            "GROUP": self.group,
            "ORG_CHANGE_TOPIC": self.topic,
            "ORG_CHANGE_PARTITIONS": str(self._partitions),
            "LICENSING_GROUP": self.group,
        }
        base = service_environment if self.consumer.leaves_tombstone else (lambda more: server_environment(**more))
        return SupervisedProcess(
            f"{self.consumer.name} {number}",
            self.consumer.argv,
            log=self._stage.folder / "contest" / f"{self.topic}-{number}.log",
            ready=lambda: True,
            env=base({**self.consumer.environment, **settings}),
            cwd=self._stage.folder,
        )

    def events(self, amount: int) -> list[Event]:
        return [self.consumer.event(str(uuid.uuid4()), self._partitions) for _ in range(amount)]

    def one_for_each_partition(self) -> list[Event]:
        found: dict[int, Event] = {}
        while len(found) < self._partitions:
            [event] = self.events(1)
            found.setdefault(event.partition, event)
        return list(found.values())

    def send(self, events: Sequence[Event]) -> None:
        """Put the events on the topic, and for a peer their keys into Redis, which it is to delete."""
        if not self.consumer.leaves_tombstone:
            pipeline = self._redis.pipeline(transaction=False)
            for number, event in enumerate(events, 1):
                pipeline.set(self._key(event), b"cached")
                if number % 1000 == 0:
                    pipeline.execute()
            pipeline.execute()
        for event in events:
            self._producer.send(self.topic, event.value, event.key, list(event.headers), partition=event.partition)
        self._producer.flush()

    def wait_evicted(self, events: Sequence[Event], process: SupervisedProcess | None = None) -> None:
        """Return once all of them are; only a few, or it would be what is measured."""
        self._wait(events, len(events), process)

    def wait_any_evicted(self, events: Sequence[Event], process: SupervisedProcess) -> None:
        self._wait(events, 1, process)

    def _wait(self, events: Sequence[Event], amount: int, process: SupervisedProcess | None) -> None:
        keys = [self._key(event) for event in events]

        def evicted() -> bool:
            if process is not None:
                process.raise_if_dead()
            there = int(self._redis.exists(*keys))
            return (there if self.consumer.leaves_tombstone else len(keys) - there) >= amount

        if not wait_until(evicted, within_s=_HANDLED_IN_S, every_s=0.002):
            raise BenchmarkError(f"{self.consumer.name}: keys were not evicted within {_HANDLED_IN_S:.0f} s")

    def longest_delay_s(self, victim: SupervisedProcess) -> float:
        """How long the slowest of the changes waited that are sent from now until the victim has ended, and once more.

        A change in each partition is sent every 50 ms, whoever handles it.
        """
        sent_s: dict[str, float] = {}
        longest_s, began_s, due_s, is_last = 0.0, time.perf_counter(), 0.0, False
        while sent_s or not is_last:
            if not is_last and time.perf_counter() >= due_s:
                is_last = not victim.is_running
                batch = self.one_for_each_partition()
                due_s = time.perf_counter() + _MARKERS_EVERY_S
                sent_s |= {self._key(event): time.perf_counter() for event in batch}
                self.send(batch)
            pipeline = self._redis.pipeline(transaction=False)
            for key in sent_s:
                pipeline.exists(key)
            for key, there in zip(list(sent_s), pipeline.execute(), strict=True):
                if bool(there) == self.consumer.leaves_tombstone:
                    longest_s = max(longest_s, time.perf_counter() - sent_s.pop(key))
            if time.perf_counter() - began_s > _HANDLED_IN_S:
                raise BenchmarkError(f"{self.consumer.name}: nobody has taken over within {_HANDLED_IN_S:.0f} s")
            time.sleep(0.002)
        return longest_s

    @staticmethod
    def end(process: SupervisedProcess, number: signal.Signals) -> None:
        """Send the signal; SIGKILL to all that belongs to the consumer."""
        if number is signal.SIGKILL:
            process.kill()
        else:
            os.kill(process.pid, number)

    def wait_joined(self, members: int) -> None:
        """Return once the group is stable and each of its members has partitions."""
        with kafka_admin(self._servers) as admin:

            def joined() -> bool:
                described = admin.describe_groups([self.group])[self.group]
                found = described["members"]
                return (
                    described["group_state"] == "Stable"
                    and len(found) == members
                    and all(member["member_assignment"] for member in found)
                )

            if not wait_until(joined, within_s=_GROUP_IN_S, every_s=0.1):
                raise BenchmarkError(f"{self.consumer.name}: the group was not stable within {_GROUP_IN_S:.0f} s")

    def _key(self, event: Event) -> str:
        return self.consumer.key(event.id, event.partition)


@contextlib.contextmanager
def consumers(stage: Stage, notes: list[str]) -> Iterator[list[Consumer]]:
    """Ours, and those of the peers that can be had here; why one can't is put into `notes`."""
    with ExitStack() as stack:
        found = [ours(stage)]
        try:
            stage.announce("installing the peers")
            python = installation.python()
        except BenchmarkError as error:
            notes.append(f"No peers: {error}")
            yield found
            return
        for program, options, name, share, takeovers in (
            ("faststream_consumer", ["confluent", "each"], "FastStream, confluent", 0.25, 5),
            ("faststream_consumer", ["confluent", "batches"], "FastStream, confluent, batches", 1.0, 0),
            ("faststream_consumer", ["kafka", "each"], "FastStream, aiokafka", 0.05, 5),
            ("faststream_consumer", ["kafka", "batches"], "FastStream, aiokafka, batches", 1.0, 0),
            ("django_kafka_consumer", [], "django-kafka", 1.0, 1),
        ):
            found.append(
                Consumer(
                    name,
                    [python, installation.program(program), *options],
                    {},
                    stage.redis_url(4 + len(found)),
                    _json_pattern(),
                    lambda id, _partition: f"organization:{id}",
                    leaves_tombstone=False,
                    share=share,
                    takeovers=takeovers,
                )
            )
        try:
            found.append(_edx(stage, stack, python))
        except (BenchmarkError, StackError) as error:
            notes.append(f"No edx-event-bus-kafka: {error}")
        yield found


def ours(stage: Stage) -> Consumer:
    """The worker, with the bytes that the relay sends."""
    platform = stage.bulk()
    topic = "pattern"
    create_topics(stage.servers.kafka_bootstrap_servers, [Topic(topic, PARTITIONS, 1, 1)])
    relay.drain(platform, 1, topic)
    record = next(relay.published(platform, topic))
    old, new = record.key, _TEMPLATE_ID.encode()
    pattern = Event(_TEMPLATE_ID, 0, new, record.value.replace(old, new), list(record.headers))
    return Consumer(
        "ours",
        LICENSING.command("consume_org_changes"),
        platform.licensing_settings,
        platform.licensing_settings["REDIS_URL"],
        pattern,
        lambda id, partition: f"{{o{partition}}}:o:{id}",
        leaves_tombstone=True,
    )


def _json_pattern() -> Event:
    """The four keys of the message, as any other service would read them."""
    value = (
        '{"type":"organization.OrganizationChangeModel","action":"UPDATED",'
        f'"organizationId":"{_TEMPLATE_ID}","correlationId":"{uuid.uuid4()}"}}'
    )
    return Event(_TEMPLATE_ID, 0, _TEMPLATE_ID.encode(), value.encode(), [("content-type", b"application/json")])


def _edx(stage: Stage, stack: ExitStack, python: Any) -> Consumer:
    """edx-event-bus-kafka, with the Avro bytes that its own producer makes of an event."""
    topic = "edx-pattern"
    create_topics(stage.servers.kafka_bootstrap_servers, [Topic(topic, 1, 1, 1)])
    environment = {"SCHEMA_REGISTRY_URL": stack.enter_context(schema_registry())}
    consumer = Consumer(
        "edx-event-bus-kafka",
        [python, installation.program("edx_event_bus"), "consume"],
        environment,
        stage.redis_url(15),
        Event(_TEMPLATE_ID, 0, b"", b"", []),
        lambda id, _partition: f"organization:{id}",
        leaves_tombstone=False,
        share=0.5,
        takeovers=1,
    )
    producer = SupervisedProcess(
        "edx producer",
        [python, installation.program("edx_event_bus"), "produce", _TEMPLATE_ID],
        log=stage.folder / "edx-producer.log",
        ready=lambda: True,
        env=server_environment(
            **environment,
            TOPIC=topic,
            GROUP="none",
            KAFKA_BOOTSTRAP_SERVERS=stage.servers.kafka_bootstrap_servers,
            REDIS_URL=stage.redis_url(15),
        ),
        cwd=stage.folder,
    ).spawn()
    wait_until(lambda: not producer.is_running, within_s=60)
    record = next(relay.published(stage.bulk(), topic), None)
    if record is None:
        raise BenchmarkError(f"its producer has sent nothing: {producer.log_tail(3)}")
    return dataclasses.replace(consumer, pattern=Event(_TEMPLATE_ID, 0, record.key, record.value, list(record.headers)))
