"""Reading from Kafka as a member of a group."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import kafka
from kafka.errors import AuthorizationError, KafkaError, RetriableError
from kafka.structs import TopicPartition

from event_stream.binder import LogBounds, RebalanceListener
from event_stream.binders.kafka.commits import Commits
from event_stream.binders.kafka.connection import Connection
from event_stream.binders.kafka.rebalance import Rebalances
from event_stream.binders.kafka.records import as_record
from event_stream.binders.kafka.refusals import denied
from event_stream.errors import UnavailableError
from event_stream.message import Record

_ASK_TIMEOUT_MS = 500
"""For a question that the loop waits for: it has to see its stop flag, so it rather asks again later."""
_LEAVE_TIMEOUT_MS = 300
"""Leaving is a courtesy: who can't is found missing when the session is over."""
_KNOW_TOPIC_S = 2.0
"""A topic that is not there by then may be made later."""


class KafkaConsumer:
    """One topic for one group. It joins with the first poll; no call waits longer than about a second for a broker."""

    def __init__(self, properties: Mapping[str, Any], topic: str, listener: RebalanceListener) -> None:
        own = dict(properties)
        self._topic = topic
        self._listener = listener
        self._commits = Commits(topic, own.pop("commit_interval_ms") / 1000)
        self._rebalances = Rebalances(self._commits)
        self._connection = Connection(lambda **how: self._subscribed(own, how), _abandon, own)
        # A broker answers the requests of one connection in turn: a question may have to wait for a fetch under way.
        self._ask_timeout_ms = _ASK_TIMEOUT_MS + own["fetch_max_wait_ms"]
        self._client: Any = None

    def poll(self, timeout_s: float, max_records: int) -> Mapping[int, Sequence[Record]]:
        deadline = time.monotonic() + timeout_s
        client = self._connected(timeout_s)
        self._commits.send_if_due(client)
        with _unavailable():
            # An assignment is handed on only when this returns, so it waits in small steps until there is one.
            found: Mapping[TopicPartition, Sequence[Any]] = {}
            while not found and not self._rebalances.pending:
                remaining_ms = max(0, int((deadline - time.monotonic()) * 1000))
                step_ms = remaining_ms if self._rebalances.assigned else min(remaining_ms, 50)
                try:
                    found = client.poll(timeout_ms=step_ms, max_records=max_records)
                except AuthorizationError:
                    # It is told at once, and asking again at once would be an attack.
                    time.sleep(remaining_ms / 1000)
                    raise
                if remaining_ms == 0:
                    break
        self._hand_on()
        return {at.partition: [as_record(each) for each in records] for at, records in found.items()}

    def seek(self, partition: int, offset: int) -> None:
        self._client.seek(self._at(partition), offset)

    def pause(self, partitions: Collection[int]) -> None:
        self._client.pause(*map(self._at, partitions))

    def resume(self, partitions: Collection[int]) -> None:
        self._client.resume(*map(self._at, partitions))

    def position(self, partition: int) -> int:
        with _unavailable():
            position = self._client.position(self._at(partition), timeout_ms=self._ask_timeout_ms)
        if position is None:
            raise UnavailableError(f"the position in {self._topic}[{partition}] is not known yet")
        return int(position)

    def commit(self, next_offsets: Mapping[int, int]) -> None:
        self._commits.add(next_offsets)
        self._commits.send_if_due(self._client)

    def committed(self, partition: int) -> int | None:
        with _unavailable():
            offset = self._client.committed(self._at(partition), timeout_ms=self._ask_timeout_ms)
        return None if offset is None else int(offset)

    def bounds(self, partitions: Collection[int]) -> Mapping[int, LogBounds]:
        at = [self._at(partition) for partition in partitions]
        with _unavailable():
            starts = self._client.beginning_offsets(at, timeout_ms=self._ask_timeout_ms)
            ends = self._client.end_offsets(at, timeout_ms=self._ask_timeout_ms)
        return {each.partition: LogBounds(starts[each], ends[each]) for each in at}

    def close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            self._connection.forget()
            return
        self._commits.send_now(client, self._ask_timeout_ms)
        try:
            client.close(autocommit=False, timeout_ms=_LEAVE_TIMEOUT_MS)
        finally:
            self._hand_on()

    def _at(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)

    def _connected(self, timeout_s: float) -> Any:
        if self._client is None:
            self._client = self._connection.get(timeout_s)
        return self._client

    def _subscribed(self, properties: Mapping[str, Any], how: Mapping[str, Any]) -> Any:
        """On the thread that connects."""
        client = kafka.KafkaConsumer(**properties, **how)
        client.subscribe([self._topic], listener=self._rebalances.listener(client))
        # A member that joins before it knows the topic is given nothing, and causes a second rebalance when it does.
        deadline = time.monotonic() + _KNOW_TOPIC_S
        while client._cluster.partitions_for_topic(self._topic) is None and time.monotonic() < deadline:
            time.sleep(0.005)
        return client

    def _hand_on(self) -> None:
        """Tell the listener, on its own thread, what happened to our partitions."""
        for what, partitions in self._rebalances.take():
            if what == "assigned":
                if self._client is not None and partitions:
                    # A partition that stays ours through a rebalance stays paused, but whoever paused it starts over.
                    self.resume(partitions)
                self._listener.assigned(partitions)
            elif what == "revoked":
                self._listener.revoked(partitions)
            else:
                self._listener.lost(partitions)


@contextmanager
def _unavailable() -> Iterator[None]:
    # What kafka-python says is worth trying again, and what somebody may be allowed any moment; anything else is fatal
    # and stays what it is.
    try:
        yield
    except AuthorizationError as error:
        raise UnavailableError(f"Kafka: {denied(error)}") from error
    except RetriableError as error:
        raise UnavailableError(f"Kafka does not answer: {error}") from error


def _abandon(client: Any) -> None:
    try:
        client.close(autocommit=False, timeout_ms=0)
    except KafkaError:  # it never joined: there is nothing to leave
        return
