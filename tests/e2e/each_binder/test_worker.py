"""The worker as an operator meets it: stopped, killed, replaced, run once, misconfigured, without its broker."""

import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devstack.cluster import worker
from devstack.django_commands import LICENSING
from devstack.environment import ROOT, service_environment
from devstack.ports import free_port
from devstack.process import SupervisedProcess, start_in_parallel
from devstack.topics import Topic
from devstack.waiting import wait_until
from event_stream.messaging.partitioner import partition_for
from tests.e2e.world import DEADLINE_S, Customer, Watch, World, fresh, redis_database

PARTITIONS = set(range(6))
STOP_WITHIN_S = 2.0
"""What an operator is promised."""


@dataclass(frozen=True, slots=True)
class Crew:
    """The platform's two workers, who share the topic."""

    world: World

    @property
    def workers(self) -> list[SupervisedProcess]:
        return self.world.platform.workers

    def partitions(self, number: int) -> set[int]:
        """What this worker has said last that it has, since its last start."""
        process = self.workers[number]
        ready = Watch([process], from_start=True).seen("worker.ready") if process.is_running else []
        return set(ready[-1]["partitions"]) if ready else set()

    def has(self, number: int, partitions: set[int]) -> bool:
        return wait_until(lambda: self.partitions(number) == partitions, within_s=DEADLINE_S)

    def shared_out(self) -> bool:
        """Each has some, and between them they have all."""

        def fair() -> bool:
            first, second = self.partitions(0), self.partitions(1)
            return bool(first and second) and not first & second and first | second == PARTITIONS

        return wait_until(fair, within_s=DEADLINE_S)

    def customer_of(self, partitions: set[int]) -> Customer:
        """One whose events go to one of these."""
        while True:
            customer = self.world.customer()
            if partition_for(customer.id.encode(), len(PARTITIONS)) in partitions:
                self.world.cached(customer)
                return customer


@pytest.fixture
def crew(world: World) -> Iterator[Crew]:
    crew = Crew(world)
    assert crew.shared_out()
    yield crew
    start_in_parallel([process for process in crew.workers if not process.is_running])


def run(world: World, *options: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """A worker that ends by itself."""
    return subprocess.run(
        LICENSING.command("consume_org_changes", *options),
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=service_environment({**world.platform.licensing_settings, **settings}),
        timeout=4 * DEADLINE_S,
    )


def test_two_workers_share_the_topic_and_each_evicts(crew: Crew) -> None:
    world = crew.world
    for number, process in enumerate(crew.workers):
        customer, contact = crew.customer_of(crew.partitions(number)), fresh("contact")
        own = Watch([process])

        changed = world.change(customer, contact)

        own.eviction(customer.id, changed.headers["tmx-correlation-id"])
        assert {each.contact for each in world.lookups(customer)} == {contact}


def test_a_stopped_worker_ends_in_time_and_the_other_takes_over(crew: Crew) -> None:
    customer = crew.customer_of(crew.partitions(0))

    # Killed, which is no 0, if it hasn't ended by itself by then.
    assert crew.workers[0].stop(STOP_WITHIN_S) == 0

    assert crew.has(1, PARTITIONS)
    watch, contact = Watch([crew.workers[1]]), fresh("contact")
    crew.world.change(customer, contact)
    watch.eviction(customer.id)
    assert {each.contact for each in crew.world.lookups(customer)} == {contact}
    crew.workers[0].start()
    assert crew.shared_out()


def test_a_killed_worker_loses_nothing(crew: Crew) -> None:
    customer = crew.customer_of(crew.partitions(0))
    watch, contact = Watch([crew.workers[1]]), fresh("contact")

    crew.workers[0].kill()
    # The group still believes that it lives: this waits until the other is given its partitions.
    crew.world.change(customer, contact)

    watch.eviction(customer.id)
    assert {each.contact for each in crew.world.lookups(customer)} == {contact}


def test_messages_wait_while_no_worker_is_there(crew: Crew) -> None:
    world = crew.world
    customers = [crew.customer_of({partition}) for partition in (0, 1)]
    for process in crew.workers:
        assert process.stop(STOP_WITHIN_S) == 0
    contact = fresh("contact")
    for customer in customers:
        world.change(customer, contact)
        world.published(customer.id)
        # Within the maximum staleness the cached entry may count as fresh.
        assert {(each.cache, each.contact) for each in world.lookups(customer)} == {("hit", "Ann")}
    watch = world.watch_workers()

    crew.workers[1].start()

    for customer in customers:
        watch.eviction(customer.id)
        assert {each.contact for each in world.lookups(customer)} == {contact}


def test_a_worker_for_scripts_ends_when_all_is_applied(crew: Crew) -> None:
    world = crew.world
    customer = crew.customer_of(PARTITIONS)
    for process in crew.workers:
        process.stop()

    for option in ("--once", "--until-caught-up"):
        contact = fresh("contact")
        world.change(customer, contact)
        world.published(customer.id)
        done = run(world, option)
        assert done.returncode == 0, done.stderr
        assert {each.contact for each in world.lookups(customer)} == {contact}
    # And again, with nothing new.
    assert run(world, option).returncode == 0


def test_a_wrong_number_of_partitions_is_refused(world: World) -> None:
    done = run(world, ORG_CHANGE_PARTITIONS="5", LICENSING_GROUP=fresh("group"))

    assert done.returncode == 1
    assert (
        f"ORG_CHANGE_PARTITIONS is 5, but the topic {world.platform.topic} has 6 partitions: set it to 6" in done.stderr
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("EVENT_BINDER", "pigeons", "EVENT_BINDER should be one of kafka, rabbitmq, redis"),
        ("ORG_CHANGE_TOPIC", "no topic", "ORG_CHANGE_TOPIC should be the name of the topic"),
        ("ORG_CHANGE_PARTITIONS", "many", "ORG_CHANGE_PARTITIONS should be a whole number of partitions of the topic"),
        ("ORGANIZATION_MAX_STALENESS_S", "0", "ORGANIZATION_MAX_STALENESS_S should be a number of seconds from"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(world: World, name: str, value: str, said: str) -> None:
    done = run(world, **{name: value})

    assert done.returncode != 0
    assert said in done.stderr


@pytest.fixture
def lonely(world: World, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SupervisedProcess]:
    """A worker that shares nothing with the platform's, started with settings that give it nothing to do for now."""
    if request.param is NO_TOPIC and world.platform.servers.binder == "rabbitmq":
        pytest.skip("no topic is ever missing on RabbitMQ: whoever uses one makes it")
    redis_url = redis_database(world.platform.servers.redis_url, 12)
    own = {"LICENSING_GROUP": fresh("group"), "REDIS_URL": redis_url, **request.param}
    settings = {**world.platform.licensing_settings, **own}
    process = worker("lonely", settings, folder=tmp_path).spawn()
    yield process
    process.stop()


NULL_FIELDS = {
    "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
    "EVENT_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
    "RABBITMQ_URL": f"amqp://127.0.0.1:{free_port()}",
}
NO_TOPIC = {"ORG_CHANGE_TOPIC": f"e2e-none-{uuid.uuid4().hex}"}


@pytest.mark.parametrize("lonely", [NULL_FIELDS, NO_TOPIC], ids=["broker", "topic"], indirect=True)
def test_a_worker_waits_for_what_is_not_there_and_can_be_stopped(lonely: SupervisedProcess) -> None:
    watch = Watch([lonely], from_start=True)

    told = watch.wait("broker.unreachable")

    assert told["level"] == "WARNING"
    assert lonely.stop(STOP_WITHIN_S) == 0
    assert watch.seen("broker.unreachable") == [told]


@pytest.mark.parametrize("lonely", [NO_TOPIC], ids=["topic"], indirect=True)
def test_a_worker_goes_on_when_its_topic_is_made(world: World, lonely: SupervisedProcess) -> None:
    told = Watch([lonely], from_start=True).wait("broker.unreachable")
    topic = NO_TOPIC["ORG_CHANGE_TOPIC"]
    assert topic in told["error"]

    world.platform.servers.broker.create_topics([Topic(topic, len(PARTITIONS), 1, 1)])

    lonely.wait_ready()
    # Nobody has made its dead-letter topic: it says so, and evicts all the same.
    missing = Watch([lonely], from_start=True).wait("dead_letters.unreachable")
    assert missing["destination"].startswith(f"{topic}.")
    assert "create_topics" in missing["remedy"]
    assert lonely.stop(STOP_WITHIN_S) == 0
