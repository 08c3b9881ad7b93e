"""The entry of CACHES for the fenced cache, on one Redis, on Redis Sentinel or on Redis Cluster."""

from typing import Any

from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from service_kit.settings.environment import RedisServers


def redis_cache(servers: RedisServers, *, timeout_s: float, max_connections: int) -> dict[str, Any]:
    """`timeout_s` is for connecting and for each answer, also of a sentinel; `max_connections` are to each node.

    Every read goes to a primary, never to a replica, which may be behind.
    """
    options: dict[str, Any] = {
        "SOCKET_CONNECT_TIMEOUT": timeout_s,
        "SOCKET_TIMEOUT": timeout_s,
        "CONNECTION_POOL_KWARGS": {
            "max_connections": max_connections,
            # One more try at once, for a pooled connection that the server has closed meanwhile. Not for a server that
            # hangs: it would cost its timeout twice.
            "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        },
    }
    url = servers.url
    if servers.nodes:
        options["CONNECTION_FACTORY"] = "event_stream.fenced_cache.redis_cluster.ClusterConnectionFactory"
        options["NODES"] = [_host_and_port(node) for node in servers.nodes]
    if servers.sentinels:
        # A pool takes `rediss` for connections that ask no sentinel, so TLS is said in parameters instead.
        parameters = parse_url(url)  # type: ignore[no-untyped-call]
        tls = {name: value for name, value in parameters.items() if name.startswith("ssl_")}
        if url.startswith("rediss:"):
            tls["ssl"] = True
            url = f"redis:{url.removeprefix('rediss:')}"
        options["CONNECTION_POOL_KWARGS"] |= tls
        options["CONNECTION_FACTORY"] = "django_redis.pool.SentinelConnectionFactory"
        options["SENTINELS"] = [_host_and_port(node) for node in servers.sentinels]
        options["SENTINEL_KWARGS"] = {
            "socket_connect_timeout": timeout_s,
            "socket_timeout": timeout_s,
            # The next sentinel is asked instead.
            "retry": Retry(NoBackoff(), 0),
            **servers.sentinel_login,
            **tls,
        }
    # A list of one: django-redis splits a text at each comma, and a password may have one.
    return {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": [url], "OPTIONS": options}


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
