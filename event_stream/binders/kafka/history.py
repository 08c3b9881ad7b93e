"""Reading a topic from its start to where it ends now, without a group: nothing is committed."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import kafka
from kafka.errors import AuthorizationError, RetriableError
from kafka.structs import TopicPartition

from event_stream.binders.kafka.connection import Connection
from event_stream.binders.kafka.records import as_record
from event_stream.binders.kafka.refusals import denied
from event_stream.errors import UnavailableError
from event_stream.message import Record

_CONNECT_S = 10.0
_ASK_MS = 10_000
_STALLED_S = 30.0


def history(properties: Mapping[str, Any], topic: str) -> Iterator[Record]:
    """Raises UnavailableError where the topic is not there or not for us, or no broker answers."""
    own = {name: value for name, value in properties.items() if name != "commit_interval_ms"} | {"group_id": None}
    connection = Connection(lambda **how: kafka.KafkaConsumer(**own, **how), _abandon, own)
    try:
        client = connection.get(_CONNECT_S)
        yield from _records(client, topic)
    except AuthorizationError as error:
        raise UnavailableError(f"Kafka: {denied(error)}") from error
    except RetriableError as error:
        raise UnavailableError(f"Kafka does not answer: {error}") from error
    finally:
        connection.forget()


def _records(client: Any, topic: str) -> Iterator[Record]:
    numbers = client.partitions_for_topic(topic)
    if not numbers:
        raise UnavailableError(f"Kafka has no topic {topic}, or none that this user may read")
    at = [TopicPartition(topic, number) for number in sorted(numbers)]
    client.assign(at)
    starts = client.beginning_offsets(at, timeout_ms=_ASK_MS)
    ends = client.end_offsets(at, timeout_ms=_ASK_MS)
    for each in at:
        client.seek(each, starts[each])
    unread = {each for each in at if starts[each] < ends[each]}
    moved_at = time.monotonic()
    while unread:
        polled = client.poll(timeout_ms=500)
        for each, records in polled.items():
            yield from (as_record(record) for record in records if record.offset < ends[each])
        # The consumer's own position is past marks in the log that are no records, too.
        unread = {each for each in unread if client.position(each, timeout_ms=_ASK_MS) < ends[each]}
        if polled:
            moved_at = time.monotonic()
        elif time.monotonic() - moved_at > _STALLED_S:
            raise UnavailableError(f"Kafka stopped answering for {topic}")


def _abandon(client: Any) -> None:
    client.close(autocommit=False, timeout_ms=1_000)
