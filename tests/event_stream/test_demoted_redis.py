"""A primary that was demoted keeps its connections and refuses writes; the new one is behind the same address."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from devstack.process import start_in_parallel, stop_in_parallel
from devstack.valkey import Valkey
from event_stream.errors import PublishError, RefusedError
from event_stream.fenced_cache import Eviction, State
from event_stream.fenced_cache.cache import MISS
from event_stream.messaging.message import ProducerRecord
from event_stream.testing.reader import Reader
from tests.event_stream.cache_world import caches_at, keep, new_cache
from tests.event_stream.redis_streams import making, new_binding, send
from tests.faults.link import Link
from tests.faults.site import hand_over

ID = "4d10ec24-141a-4980-be34-2ddb5e0458c7"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two servers, and the address at which clients find the one that is the primary."""

    primary: Valkey
    replica: Valkey
    link: Link

    @property
    def url(self) -> str:
        return f"redis://{self.link.address}/0"

    def hand_over(self) -> None:
        hand_over(self.primary, self.replica, self.link)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    primary = Valkey(tmp_path / "primary", durable=False, settings={"repl-diskless-sync-delay": "0"})
    replica = Valkey(tmp_path / "replica", durable=False, replica_of=primary.port, name="Valkey replica")
    with ExitStack() as stack:
        stack.callback(lambda: stop_in_parallel([primary, replica]))
        start_in_parallel([primary, replica])
        yield Pair(primary, replica, stack.enter_context(Link(f"127.0.0.1:{primary.port}")))


def test_the_cache_is_written_to_the_new_primary_at_once(pair: Pair) -> None:
    with caches_at(pair.url):
        cache = new_cache()
        keep(cache, ID, 1)
        pair.hand_over()
        cache.evict([Eviction(ID, 2)])
        assert cache.read(ID) == MISS
        keep(cache, ID, 2)
        assert cache.read(ID).state is not State.MISS
        cache.forget_watermark(0)


def test_a_server_that_stays_a_replica_refuses_and_is_read(pair: Pair) -> None:
    with caches_at(pair.url):
        cache = new_cache()
        keep(cache, ID, 1)
        pair.hand_over()
        pair.link.lead_to(f"127.0.0.1:{pair.primary.port}")
        with pytest.raises(RefusedError):
            cache.evict([Eviction(ID, 2)])
        assert cache.read(ID).state is not State.MISS


def test_the_producer_and_the_members_of_a_group_go_on_with_the_new_primary(pair: Pair) -> None:
    binder, binding = making(pair.url, 2), new_binding()
    producer = binder.producer(binding)
    with closing(Reader(binder, binding)) as member:
        send(binder, binding, "before")
        member.read(1)
        member.commit()
        record = ProducerRecord(binding.destination, b"key", b"after")
        producer.send(record).result(20)
        member.read(2)
        pair.hand_over()
        # The relay sends what was not acknowledged once more.
        with pytest.raises(PublishError):
            producer.send(record).result(20)
        producer.send(record).result(20)
        member.read(3)
        member.commit()
        offsets = {each.partition: each.offset + 1 for each in member.records}
        member.read_until(
            lambda it: all(it.consumer.committed(at) == offset for at, offset in offsets.items()), "committed"
        )
    producer.close(5)
