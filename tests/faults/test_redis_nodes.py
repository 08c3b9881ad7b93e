"""The cache on Redis Sentinel and on Redis Cluster: a primary is killed or relieved under load, and replaced."""

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.event_stream.leaks import lets_sockets_leak
from tests.faults.campaign import ROUNDS, Fault, Strike, hold, run
from tests.faults.redis_nodes import ClusterNodes, SentinelNodes
from tests.faults.site import Site

pytestmark = [lets_sockets_leak, pytest.mark.timeout(600)]


@pytest.fixture(params=[SentinelNodes, ClusterNodes], ids=["sentinel", "cluster"], scope="module")
def nodes(request: pytest.FixtureRequest) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="redis-nodes-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with Site(folder, redis_nodes=request.param(folder / "nodes")) as site:
            yield site


def primary_killed(site: Site, chance: random.Random) -> None:
    assert site.redis_nodes is not None
    # The control has one server, whose replica takes over, too.
    site.fail_over()
    lost = site.redis_nodes.kill_a_primary(chance)
    hold(chance.uniform(0, 1))
    site.redis_nodes.take_back(lost)


def primary_relieved(site: Site, chance: random.Random) -> None:
    """As before maintenance: it lives on, and keeps its connections."""
    assert site.redis_nodes is not None
    site.redis_nodes.hand_over(chance)
    hold(chance.uniform(0, 1))


@pytest.mark.parametrize("what", [primary_killed, primary_relieved], ids=["killed", "relieved"])
def test_a_primary_may_be_killed_or_relieved(nodes: Site, what: Strike) -> None:
    kind = "sentinel" if isinstance(nodes.redis_nodes, SentinelNodes) else "cluster"
    fault = Fault(f"primary of redis {kind} {'killed' if what is primary_killed else 'relieved'}", what)
    run(nodes, fault, rounds=max(1, ROUNDS // 2)).assert_right()
