"""The scripts, on django-redis' connections."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.resources import files
from typing import Any, cast

from django.core.cache import InvalidCacheBackendError
from django_redis import get_redis_connection
from redis import Redis, RedisError, ResponseError
from redis.commands.core import Script

from event_stream.errors import ConfigurationError, RefusedError, UnavailableError

# A script's name, and the files it is put together from.
_SCRIPTS = {
    "lease": ("lease",),
    "fill": ("fill",),
    "release": ("release",),
    "evict": ("eviction", "evict"),
    "apply": ("eviction", "apply"),
    "begin_epoch": ("begin_epoch",),
}


def source(*names: str) -> str:
    """The text of these files, one after another."""
    folder = files("event_stream.cache") / "scripts"
    return "\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)


def unavailable(error: RedisError) -> UnavailableError:
    kind = RefusedError if isinstance(error, ResponseError) else UnavailableError
    return kind(f"Redis: {error or type(error).__name__}")


class Scripts:
    """CACHES is the one place where the connection is configured; the server may be away until the first call."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    @cached_property
    def redis(self) -> Redis:
        try:
            return cast("Redis", get_redis_connection(self._alias))
        except (InvalidCacheBackendError, NotImplementedError) as error:
            raise ConfigurationError(
                f'CACHES["{self._alias}"]["BACKEND"] should be "django_redis.cache.RedisCache": {error}'
            ) from error

    @cached_property
    def _registered(self) -> dict[str, Script]:
        return {name: self.redis.register_script(source(*parts)) for name, parts in _SCRIPTS.items()}

    def run(self, name: str, keys: Sequence[str], args: Iterable[Any]) -> Any:
        """Every key that the script touches is in `keys`, and all are in one slot. Raises UnavailableError."""
        try:
            return self._registered[name](keys, args)
        except RedisError as error:
            raise unavailable(error) from error
