"""What Redis tells of a destination and of a group that reads it."""

from collections.abc import Mapping
from typing import Any, cast

import redis

from event_stream.binders.redis.keys import Keys
from event_stream.binders.redis.server import Server, unavailable
from event_stream.binding import Binding
from event_stream.inspection import Description, Destination, Group


def describe(server: Server, binding: Binding, producer: Mapping[str, Any], consumer: Mapping[str, Any]) -> Description:
    """Raises UnavailableError. Closes the server."""
    keys = server.keys(binding.destination)
    try:
        with unavailable():
            servers = _servers(server)
            found = server.client.hget(keys.topic, "partitions")
            if found is None:
                return Description(servers)
            partitions = int(cast("bytes", found))
            # How large a message may be, its sender's settings say: a stream takes any.
            destination = Destination(partitions, servers, servers, 1 + producer["replicas"])
            if binding.group is None:
                return Description(servers, destination)
            members = _members(server, keys.shares(binding.group), binding.group, consumer["session_timeout_ms"])
            waiting = [_waiting(server, keys, partition, binding.group) for partition in range(partitions)]
            known = [each for each in waiting if each is not None]
            return Description(servers, destination, Group(members, sum(known) if known == waiting else None))
    finally:
        server.close()


def _servers(server: Server) -> int | None:
    """This one and its replicas; None where we may not know."""
    try:
        return 1 + int(server.client.info("replication")["connected_slaves"])
    except redis.ResponseError:
        return None


def _members(server: Server, shares: str, group: str, session_ms: int) -> int:
    try:
        consumers = server.client.xinfo_consumers(shares, group)
    except redis.ResponseError:
        # Nobody has ever been in it.
        return 0
    return sum(consumer["idle"] < session_ms for consumer in consumers)


def _waiting(server: Server, keys: Keys, partition: int, group: str) -> int | None:
    """None where Redis has lost count, as it may in the middle of a log."""
    log = keys.log(partition)
    if not server.client.exists(log):
        return 0
    groups = server.client.xinfo_groups(log)
    lags = [each["lag"] for each in groups if each["name"] == group.encode()]
    return cast("int | None", lags[0] if lags else server.client.xlen(log))
