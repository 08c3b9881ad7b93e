"""The connection to Redis, and the scripts that run there."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from event_stream.binders.redis.keys import Keys
from event_stream.binders.redis.records import Entry
from event_stream.errors import UnavailableError

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
