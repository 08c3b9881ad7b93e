"""Three brokers, two in sync for every acknowledgement; the leader of a partition is killed or relieved under load."""

import random
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient

from devstack.waiting import wait_until
from tests.event_stream.leaks import lets_sockets_leak
from tests.faults.campaign import ROUNDS, Fault, hold, run
from tests.faults.site import SETTLE_S, Site

pytestmark = [lets_sockets_leak, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        Path(folder).chmod(0o711)
        with Site(Path(folder), brokers=3) as site:
            yield site


def leader_killed(site: Site, chance: random.Random) -> None:
    leader = chance.choice(sorted(leaders(site).values()))
    broker = site.brokers[leader - 1]
    broker.kill()
    hold(chance.uniform(1, 5))
    broker.start()
    # A second one may only be lost when this one has caught up: two of three have to be in sync.
    assert wait_until(lambda: all_in_sync(site), within_s=SETTLE_S, every_s=0.2), "the broker does not catch up"


def leaders_moved(site: Site, chance: random.Random) -> None:
    """Every partition to another broker, as before maintenance: the old leaders live on and keep their connections."""
    before = leaders(site)
    topic, nodes = site.platform.topic, len(site.brokers)
    order = {at: [(leader + offset) % nodes + 1 for offset in range(nodes)] for at, leader in before.items()}
    with closing(KafkaAdminClient(bootstrap_servers=site.bootstrap_servers.split(","))) as admin:
        admin.alter_partition_reassignments({TopicPartition(topic, at): replicas for at, replicas in order.items()})
        admin.elect_leaders(0, {topic: list(order)})
    wanted = {at: replicas[0] for at, replicas in order.items()}
    assert wait_until(lambda: leaders(site) == wanted, within_s=SETTLE_S, every_s=0.2), "the leaders do not move"
    assert wanted != before
    hold(chance.uniform(0, 1))


def partitions(site: Site) -> list[dict[str, object]]:
    with closing(KafkaAdminClient(bootstrap_servers=site.bootstrap_servers.split(","))) as admin:
        [topic] = admin.describe_topics([site.platform.topic])
        return list(topic["partitions"])


def leaders(site: Site) -> dict[int, int]:
    return {int(str(each["partition_index"])): int(str(each["leader_id"])) for each in partitions(site)}


def all_in_sync(site: Site) -> bool:
    return all(len(each["isr_nodes"]) == len(site.brokers) for each in partitions(site))  # type: ignore[arg-type]


FAULTS = [
    Fault("leader of three brokers killed", leader_killed),
    Fault("leaders moved among three brokers", leaders_moved),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_leader_may_be_killed_or_relieved(cluster: Site, fault: Fault) -> None:
    run(cluster, fault, rounds=max(1, ROUNDS // 2)).assert_right()
