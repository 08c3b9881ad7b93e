"""The connection to Redis, the keys and scripts there, and the conversion between records and stream entries."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeAlias, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from event_stream.errors import UnavailableError
from event_stream.messaging.message import ConsumerRecord, ProducerRecord

Entry: TypeAlias = tuple[bytes, Sequence[bytes]]
"""A stream's entry as Redis returns it: an id, and field, value, field, value, ..."""

_HEADER = "header:"
# The name of each script, and the files that it consists of.
_SCRIPTS = {
    "create": ("create",),
    "append": ("trim", "append"),
    "offsets": ("offsets",),
    "claim": ("claim",),
    "heartbeat": ("heartbeat",),
    "commit": ("commit",),
    "release": ("release",),
}


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of a destination's keys. The braces keep all of them in one slot of a Redis Cluster.

    prefix:{destination}            hash     partitions, retention, start of each log, when each group was last seen
    prefix:{destination}:0          stream   the log of partition 0; its consumer groups hold the committed offsets
    prefix:{destination}:of:group   stream   the partitions, as jobs that the group's members claim and release
    """

    prefix: str
    destination: str

    @property
    def topic(self) -> str:
        return f"{self.prefix}:{{{self.destination}}}"

    def log(self, partition: int) -> str:
        return f"{self.topic}:{partition}"

    def logs(self, partitions: int) -> list[str]:
        return [self.log(partition) for partition in range(partitions)]

    def shares(self, group: str) -> str:
        return f"{self.topic}:of:{group}"


@contextmanager
def unavailable() -> Iterator[None]:
    """Convert Redis' own errors to UnavailableError, whose text holds no password."""
    try:
        yield
    except redis.RedisError as error:
        raise UnavailableError(f"Redis: {error or type(error).__name__}") from error


class Server:
    """A Redis at a URL. It connects with the first call; every call ends within the timeouts."""

    def __init__(self, binder: dict[str, Any], *, connect_timeout_ms: int, request_timeout_ms: int) -> None:
        self._binder = binder
        self.client = redis.Redis.from_url(
            binder["url"],
            protocol=2,
            socket_connect_timeout=connect_timeout_ms / 1000,
            socket_timeout=request_timeout_ms / 1000,
            # An unanswered command may have run. Only the caller knows whether it may run twice.
            retry=Retry(NoBackoff(), 0),
        )
        # Keep raw answers: redis-py would convert them to dictionaries, and lose repeated headers.
        for command in ("XREAD", "XRANGE"):
            self.client.set_response_callback(command, lambda answer, **_: answer)
        self.scripts = {name: self.client.register_script(_source(*parts)) for name, parts in _SCRIPTS.items()}

    def keys(self, destination: str) -> Keys:
        return Keys(self._binder["prefix"], destination)

    def run(self, name: str, keys: Sequence[str], args: Iterable[Any]) -> Any:
        try:
            return self.scripts[name](keys, list(args))
        except redis.ReadOnlyError:
            self.drop_connections()
            raise

    def drop_connections(self) -> None:
        """Connect again with the next call: a server that takes no writes was a primary, and has been demoted.

        It keeps its connections, and the new primary may be behind the same address already.
        """
        self.client.connection_pool.disconnect(inuse_connections=False)

    def partitions(self, destination: str) -> int:
        """Return the number of partitions. Raises UnavailableError for a missing destination that it can't create."""
        keys, default = self.keys(destination), self._binder["partitions"]
        with unavailable():
            partitions = self.client.hget(keys.topic, "partitions")
            if partitions is None and default is not None:
                retention_ms = self._binder["retention_ms"]
                settings = ["" if retention_ms is None else retention_ms, int(self._binder["keep_unread"])]
                settings.append(self._binder["group_retention_ms"])
                partitions = self.run("create", [keys.topic, *keys.logs(default)], settings)
        if partitions is None:
            raise UnavailableError(f"Redis has no destination {destination!r}: it has to be made")
        return int(cast("bytes | int", partitions))

    def range(self, log: str, first: str, last: str, count: int) -> list[Entry]:
        return cast("list[Entry]", self.ask("XRANGE", log, first, last, "COUNT", count))

    def ask(self, *command: Any) -> Any:
        return self.client.execute_command(*command)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        self.client.close()


def _source(*names: str) -> str:
    folder = files("event_stream.binders.redis") / "scripts"
    return "\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)


def fields_of(record: ProducerRecord) -> list[str | bytes]:
    """Return the fields of an entry: `key`, `value` (absent where the record has none) and repeated `header:<name>`."""
    fields: list[str | bytes] = []
    if record.key is not None:
        fields += ["key", record.key]
    if record.value is not None:
        fields += ["value", record.value]
    for name, value in record.headers:
        fields += [f"{_HEADER}{name}", value]
    # An entry needs at least one field.
    return fields or ["tombstone", b""]


def offset_of(id: bytes) -> int:
    """Return the offset in an id `<offset>-0`: about the microsecond of Redis' clock at which it was appended."""
    return int(id.partition(b"-")[0])


def as_record(destination: str, partition: int, entry: Entry) -> ConsumerRecord:
    id, fields = entry
    offset = offset_of(id)
    values: dict[bytes, bytes] = {}
    headers: list[tuple[str, bytes]] = []
    for name, value in _pairs(fields):
        if name.startswith(_HEADER.encode()):
            headers.append((name[len(_HEADER) :].decode(), value))
        else:
            values[name] = value
    return ConsumerRecord(
        destination, partition, offset, values.get(b"key"), values.get(b"value"), tuple(headers), offset // 1000
    )


def _pairs(fields: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    items = iter(fields)
    return zip(items, items, strict=True)
