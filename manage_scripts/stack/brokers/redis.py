"""Redis Streams, as the carrier of the services' messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import redis

from event_stream.conf import BinderSettings
from event_stream.errors import EventStreamError
from event_stream.making import make_topic
from event_stream.message import Record
from event_stream.registry import make_binder
from manage_scripts.stack.errors import StackError
from manage_scripts.stack.topics import Topic


@dataclass(frozen=True, slots=True)
class RedisBroker:
    """At `url`, a Redis or Valkey that forgets nothing by itself."""

    url: str

    @property
    def address(self) -> str:
        return self.url

    @property
    def environment(self) -> Mapping[str, str]:
        return {"EVENT_BINDER": "redis", "EVENT_REDIS_URL": self.url}

    @property
    def properties(self) -> Mapping[str, Any]:
        return {"type": "redis", "url": self.url}

    def create_topics(self, topics: Sequence[Topic]) -> list[str]:
        return [self._create(topic) for topic in topics]

    def tail(self, topic: str) -> "RedisTail":
        return RedisTail(self.url, topic)

    def _create(self, topic: Topic) -> str:
        """By a binder that may. Copies are a matter of the server here, and so is what is in sync."""
        retention_ms = topic.settings.get("retention.ms")
        properties: dict[str, Any] = {"url": self.url, "partitions": topic.partitions}
        properties["retention_ms"] = None if retention_ms is None else int(retention_ms)
        try:
            partitions = make_topic(make_binder(BinderSettings("making", "redis", properties)), topic.name)
        except EventStreamError as error:
            raise StackError(f"The topic {topic.name} can't be made: {error}.") from error
        if partitions != topic.partitions:
            raise StackError(
                f"The topic {topic.name} has {partitions} partitions where {topic.partitions} are wanted. That is not "
                "changed while there are events in it: make a new topic, or change topics.yaml and "
                "ORG_CHANGE_PARTITIONS together."
            )
        return f"{topic.name} is there: {partitions} partitions"


class RedisTail:
    """redis-py's own XREAD, from the newest entry of every partition's stream."""

    def __init__(self, url: str, topic: str) -> None:
        self._topic = topic
        self._client = redis.Redis.from_url(url, socket_timeout=20)
        key = f"event_stream:{{{topic}}}"
        partitions = int(cast("bytes", self._client.hget(key, "partitions")))
        self._at: dict[Any, Any] = {f"{key}:{number}": "0-0" for number in range(partitions)}
        for stream in self._at:
            for id, _ in cast("list[Any]", self._client.xrevrange(stream, count=1)):
                self._at[stream] = id

    def poll(self, timeout_s: float) -> Sequence[Record]:
        block = max(1, int(timeout_s * 1000))
        answer = cast("list[tuple[bytes, list[Any]]]", self._client.xread(self._at, block=block) or [])
        records: list[Record] = []
        for stream, entries in answer:
            name = stream.decode()
            self._at[name] = entries[-1][0]
            records += [self._record(int(name.rpartition(":")[2]), id, fields) for id, fields in entries]
        return records

    def close(self) -> None:
        self._client.close()

    def _record(self, partition: int, id: bytes, fields: Mapping[bytes, bytes]) -> Record:
        offset = int(id.partition(b"-")[0])
        headers = tuple((name[7:].decode(), value) for name, value in fields.items() if name.startswith(b"header:"))
        key, value = fields.get(b"key"), fields.get(b"value")
        return Record(self._topic, partition, offset, key, value, headers, timestamp_ms=offset // 1000)
