"""From kafka-python's rebalance callbacks, on its thread, to events for ours."""

from collections import deque
from collections.abc import Collection, Iterator
from typing import Any, Literal

from kafka import AsyncConsumerRebalanceListener

from event_stream.binders.kafka.commits import Commits

Event = tuple[Literal["assigned", "revoked", "lost"], list[int]]


class Rebalances:
    """kafka-python runs its callbacks on the thread of its event loop, where none of its blocking calls may be made.

    So what must happen before the partitions go, the commit, is awaited there, and the rest is noted for the thread
    that polls. That one waits inside of poll or close all the while: it handles nothing before it has heard of it.
    """

    def __init__(self, commits: Commits) -> None:
        self._commits = commits
        self._events: deque[Event] = deque()
        self.assigned = False
        """Whether the group has given us partitions; between a revocation and the next assignment it has not."""

    @property
    def pending(self) -> bool:
        return bool(self._events)

    def take(self) -> Iterator[Event]:
        while self._events:
            yield self._events.popleft()

    def listener(self, client: Any) -> "_Listener":
        return _Listener(self, client)

    def note_assigned(self, partitions: Collection[Any]) -> None:
        self.assigned = bool(partitions)
        self._note("assigned", partitions)

    async def note_revoked(self, partitions: Collection[Any], client: Any) -> None:
        # This is where a rebalance begins. One that a change of the topic's metadata has caused is forgotten by
        # kafka-python (3.0.12) if it takes longer than a poll, and the member is then in no group and never joins
        # again. Kafka's own client had the same mistake (KAFKA-9815) and the same remedy.
        client._coordinator.request_rejoin()
        await self._commits.send_on_revoke(client)
        self.assigned = False
        if partitions:
            self._note("revoked", partitions)

    def note_lost(self, partitions: Collection[Any]) -> None:
        self._commits.drop([at.partition for at in partitions])
        self.assigned = False
        self._note("lost", partitions)

    def _note(self, what: Literal["assigned", "revoked", "lost"], partitions: Collection[Any]) -> None:
        self._events.append((what, sorted(at.partition for at in partitions)))


class _Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    def __init__(self, rebalances: Rebalances, client: Any) -> None:
        self._rebalances = rebalances
        self._client = client

    async def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        self._rebalances.note_assigned(assigned)

    async def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        await self._rebalances.note_revoked(revoked, self._client)

    async def on_partitions_lost(self, lost: Collection[Any]) -> None:
        self._rebalances.note_lost(lost)
