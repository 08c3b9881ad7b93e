"""The connection to Redis, and the scripts that run there."""

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

# The names of what a destination is made of. The braces keep all of it in one slot of a Redis Cluster.
#
# prefix:{destination}            hash     partitions, retention, where each log starts, when each group was seen last
# prefix:{destination}:0          stream   the log of partition 0; its consumer groups hold what each group has done
# prefix:{destination}:of:group   stream   the partitions, as jobs that the group's members take and give back


@dataclass(frozen=True, slots=True)
class Keys:
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


# From records to entries of a stream and back.
#
# An entry's id is `<offset>-0`, and the offset the microsecond of Redis' clock at which it was appended, or a bit more.
# Its fields are `key` and `value`, each left out where the record has none, and `header:<name>`, in order and repeated.

Entry: TypeAlias = tuple[bytes, Sequence[bytes]]
"""As Redis answers it: an id, and field, value, field, value, ..."""

_HEADER = "header:"


def fields_of(record: ProducerRecord) -> list[str | bytes]:
    fields: list[str | bytes] = []
    if record.key is not None:
        fields += ["key", record.key]
    if record.value is not None:
        fields += ["value", record.value]
    for name, value in record.headers:
        fields += [f"{_HEADER}{name}", value]
    # Redis takes no entry without a field.
    return fields or ["tombstone", b""]


def offset_of(id: bytes) -> int:
    return int(id.partition(b"-")[0])


def as_record(destination: str, partition: int, entry: Entry) -> ConsumerRecord:
    id, fields = entry
    offset = offset_of(id)
    found: dict[bytes, bytes] = {}
    headers: list[tuple[str, bytes]] = []
    for name, value in _pairs(fields):
        if name.startswith(_HEADER.encode()):
            headers.append((name[len(_HEADER) :].decode(), value))
        else:
            found[name] = value
    return ConsumerRecord(
        destination, partition, offset, found.get(b"key"), found.get(b"value"), tuple(headers), offset // 1000
    )


def _pairs(fields: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    each = iter(fields)
    return zip(each, each, strict=True)


# A script's name, and the files it is put together from.
_SCRIPTS = {
    "create": ("create",),
    "append": ("trim", "append"),
    "look": ("look",),
    "turn": ("turn",),
    "keep": ("keep",),
    "commit": ("commit",),
    "give_back": ("give_back",),
}


@contextmanager
def unavailable() -> Iterator[None]:
    """Redis' own errors become UnavailableError, whose text holds no password."""
    try:
        yield
    except redis.RedisError as error:
        raise UnavailableError(f"Redis: {error or type(error).__name__}") from error


class Server:
    """A Redis at a URL. It may be away until the first call; every call ends within the timeouts."""

    def __init__(self, binder: dict[str, Any], *, connect_timeout_ms: int, request_timeout_ms: int) -> None:
        self._binder = binder
        self.client = redis.Redis.from_url(
            binder["url"],
            protocol=2,
            socket_connect_timeout=connect_timeout_ms / 1000,
            socket_timeout=request_timeout_ms / 1000,
            # What was not answered may have been done. Whoever asked knows whether it may be done twice.
            retry=Retry(NoBackoff(), 0),
        )
        # As they come: redis-py would make dictionaries of them, and lose headers that are there twice.
        for command in ("XREAD", "XRANGE"):
            self.client.set_response_callback(command, lambda answer, **_: answer)
        self.scripts = {name: self.client.register_script(_source(*parts)) for name, parts in _SCRIPTS.items()}

    def keys(self, destination: str) -> Keys:
        return Keys(self._binder["prefix"], destination)

    def run(self, name: str, keys: Sequence[str], args: Iterable[Any]) -> Any:
        return self.scripts[name](keys, list(args))

    def partitions(self, destination: str) -> int:
        """How many there are. Raises UnavailableError for a destination that is not there and is not to be made."""
        keys, wanted = self.keys(destination), self._binder["partitions"]
        with unavailable():
            found = self.client.hget(keys.topic, "partitions")
            if found is None and wanted is not None:
                retention_ms = self._binder["retention_ms"]
                settings = ["" if retention_ms is None else retention_ms, int(self._binder["keep_unread"])]
                settings.append(self._binder["group_retention_ms"])
                found = self.run("create", [keys.topic, *keys.logs(wanted)], settings)
        if found is None:
            raise UnavailableError(f"Redis has no destination {destination!r}: it has to be made")
        return int(cast("bytes | int", found))

    def range(self, log: str, first: str, last: str, count: int) -> list[Entry]:
        return cast("list[Entry]", self.ask("XRANGE", log, first, last, "COUNT", count))

    def ask(self, *command: Any) -> Any:
        return self.client.execute_command(*command)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        self.client.close()


def _source(*names: str) -> str:
    folder = files("event_stream.binders.redis") / "scripts"
    return "\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)
