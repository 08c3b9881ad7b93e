"""The control: plain cache-aside as it is usually written. Served by gunicorn; looks organizations up by their id."""

import os
from collections.abc import Callable, Iterable
from typing import Any, cast

import httpx
import redis

_cache = redis.Redis.from_url(os.environ["REDIS_URL"])
_prefix = os.environ.get("CACHE_PREFIX", "organization")
_origin = httpx.Client(base_url=os.environ["ORGANIZATION_SERVICE_URL"], timeout=60)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers `GET /{id}` with the version."""
    organization_id = environ["PATH_INFO"].strip("/")
    version = cast("bytes | None", _cache.get(f"{_prefix}:{organization_id}"))
    if version is None:
        version = _origin.get(f"/v1/organization/{organization_id}").headers["Organization-Version"].encode()
        _cache.set(f"{_prefix}:{organization_id}", version)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(version)))])
    return [version]
