"""Describes a destination and a group, and reads a whole destination without a group."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import redis

from event_stream.binders.redis.connection import Keys, Server, as_record, offset_of, unavailable
from event_stream.conf import Binding
from event_stream.messaging.binder import Description, Group, TopicDescription
from event_stream.messaging.message import ConsumerRecord

_BATCH_SIZE = 100


def describe(server: Server, binding: Binding, producer: Mapping[str, Any], consumer: Mapping[str, Any]) -> Description:
    """Describe the binding's destination and group. Raises UnavailableError. Closes the server."""
    keys = server.keys(binding.destination)
    try:
        with unavailable():
            servers = _servers(server)
            answer = server.client.hget(keys.topic, "partitions")
            if answer is None:
                return Description(servers)
            partitions = int(cast("bytes", answer))
            # A stream takes messages of any size; the limit is a setting of the producer.
            destination = TopicDescription(partitions, servers, servers, 1 + producer["replicas"])
            if binding.group is None:
                return Description(servers, destination)
            members = _members(server, keys.shares(binding.group), binding.group, consumer["session_timeout_ms"])
            waiting = [_waiting(server, keys, partition, binding.group) for partition in range(partitions)]
            known = [count for count in waiting if count is not None]
            return Description(servers, destination, Group(members, sum(known) if known == waiting else None))
    finally:
        server.close()


def _servers(server: Server) -> int | None:
    """Return the number of servers with their replicas; None where this client may not ask."""
    try:
        return 1 + int(server.client.info("replication")["connected_slaves"])
    except redis.ResponseError:
        return None


def _members(server: Server, shares: str, group: str, session_ms: int) -> int:
    try:
        consumers = server.client.xinfo_consumers(shares, group)
    except redis.ResponseError:
        # The group has never had a member.
        return 0
    return sum(consumer["idle"] < session_ms for consumer in consumers)


def _waiting(server: Server, keys: Keys, partition: int, group: str) -> int | None:
    """Return the group's lag; None where Redis does not know it, as may happen in the middle of a log."""
    log = keys.log(partition)
    if not server.client.exists(log):
        return 0
    groups = server.client.xinfo_groups(log)
    lags = [info["lag"] for info in groups if info["name"] == group.encode()]
    return cast("int | None", lags[0] if lags else server.client.xlen(log))


def read_destination(server: Server, destination: str) -> Iterator[ConsumerRecord]:
    """Read each partition up to its end at the time of the call. Raises UnavailableError. Closes the server."""
    try:
        partitions = server.partitions(destination)
        keys = server.keys(destination)
        with unavailable():
            offsets = server.run("offsets", [keys.topic, *keys.logs(partitions)], ["", *range(partitions)])
        for partition, (_, newest, _) in enumerate(offsets or ()):
            if newest:
                yield from _read_partition(server, destination, partition, offset_of(newest))
    finally:
        server.close()


def _read_partition(server: Server, destination: str, partition: int, newest: int) -> Iterator[ConsumerRecord]:
    offset = -1
    while offset < newest:
        with unavailable():
            entries = server.range(
                server.keys(destination).log(partition), f"{offset + 1}-0", f"{newest}-0", _BATCH_SIZE
            )
        if not entries:
            return
        for entry in entries:
            record = as_record(destination, partition, entry)
            offset = record.offset
            yield record
