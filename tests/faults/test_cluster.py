"""Three brokers, two in sync for every acknowledgement; the leader of a partition is killed under load."""

import random
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
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


def partitions(site: Site) -> list[dict[str, object]]:
    with closing(KafkaAdminClient(bootstrap_servers=site.bootstrap_servers.split(","))) as admin:
        [topic] = admin.describe_topics([site.platform.topic])
        return list(topic["partitions"])


def leaders(site: Site) -> dict[int, int]:
    return {int(str(each["partition_index"])): int(str(each["leader_id"])) for each in partitions(site)}


def all_in_sync(site: Site) -> bool:
    return all(len(each["isr_nodes"]) == len(site.brokers) for each in partitions(site))  # type: ignore[arg-type]


def test_the_leader_may_be_killed(cluster: Site) -> None:
    run(cluster, Fault("leader of three brokers killed", leader_killed), rounds=max(1, ROUNDS // 2)).assert_right()
