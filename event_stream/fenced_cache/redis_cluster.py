"""django-redis on Redis Cluster, whose nodes redis-py's RedisCluster finds and follows.

CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": ["redis://user:password@node-1:6379/0"],
        "OPTIONS": {
            "CONNECTION_FACTORY": "event_stream.fenced_cache.redis_cluster.ClusterConnectionFactory",
            "NODES": [("node-1", 6379), ("node-2", 6379)],
        },
    }
}

All keys of one partition are in one slot (`fenced_cache.keys`). A failover replays those of one node alone.
"""

import threading
from collections.abc import Iterator
from typing import Any

from django_redis.pool import ConnectionFactory
from redis import Redis
from redis.cluster import ClusterNode, RedisCluster


class ClusterConnectionFactory(ConnectionFactory):  # type: ignore[misc]
    """NODES are asked for the others: at the start, and whenever one is not where it was."""

    _clusters: dict[str, RedisCluster] = {}
    _lock = threading.Lock()

    def connect(self, url: str) -> Any:
        """Raises RedisClusterException where no node answers."""
        with self._lock:
            if url not in self._clusters:
                self._clusters[url] = self._cluster(self.make_connection_params(url))
            return self._clusters[url]

    def disconnect(self, connection: Any) -> None:
        connection.disconnect_connection_pools()

    def _cluster(self, params: dict[str, Any]) -> RedisCluster:
        nodes = [ClusterNode(host, port) for host, port in self.options.get("NODES", ())]  # type: ignore[no-untyped-call]
        # A cluster's connections have one of their own, which reads where a key has moved to.
        del params["parser_class"]
        return RedisCluster(
            startup_nodes=nodes,
            # By the names that were given, whatever addresses are behind them by then.
            dynamic_startup_nodes=False,
            # A node that is lost takes its own partitions with it, and no others.
            require_full_coverage=False,
            **params,
            **self.pool_cls_kwargs,
        )


def primaries(client: Redis | RedisCluster) -> Iterator[tuple[str, Redis]]:
    """Each server that takes writes; by its address in a cluster, and "" where there is one."""
    if not isinstance(client, RedisCluster):
        yield "", client
        return
    for node in sorted(client.get_primaries(), key=lambda each: str(each.name)):  # type: ignore[no-untyped-call]
        yield str(node.name), client.get_redis_connection(node)
