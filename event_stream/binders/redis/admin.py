"""What Redis tells of a destination and of a group that reads it."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import redis

from event_stream.binders.redis.connection import Keys, Server, as_record, offset_of, unavailable
from event_stream.conf import Binding
from event_stream.messaging.binder import Description, Group, TopicDescription
from event_stream.messaging.message import ConsumerRecord


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
            destination = TopicDescription(partitions, servers, servers, 1 + producer["replicas"])
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


# Everything that a destination holds, without a group.

_AT_ONCE = 100


def history(server: Server, destination: str) -> Iterator[ConsumerRecord]:
    """Up to where each partition ended when it was asked first. Raises UnavailableError. Closes the server."""
    try:
        partitions = server.partitions(destination)
        keys = server.keys(destination)
        with unavailable():
            looked = server.run("look", [keys.topic, *keys.logs(partitions)], ["", *range(partitions)])
        for partition, (_, newest, _) in enumerate(looked or ()):
            if newest:
                yield from _partition(server, destination, partition, offset_of(newest))
    finally:
        server.close()


def _partition(server: Server, destination: str, partition: int, newest: int) -> Iterator[ConsumerRecord]:
    offset = -1
    while offset < newest:
        with unavailable():
            entries = server.range(server.keys(destination).log(partition), f"{offset + 1}-0", f"{newest}-0", _AT_ONCE)
        if not entries:
            return
        for entry in entries:
            record = as_record(destination, partition, entry)
            offset = record.offset
            yield record
