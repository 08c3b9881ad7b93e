"""What Kafka tells of a topic and of a group that reads it."""

import time
from collections.abc import Mapping
from typing import Any

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, OffsetSpec
from kafka.errors import (
    ClusterAuthorizationFailedError,
    GroupIdNotFoundError,
    KafkaError,
    RetriableError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from kafka.structs import TopicPartition

from event_stream.binders.kafka.connection import Connection, denied
from event_stream.conf import Binding
from event_stream.errors import UnavailableError
from event_stream.messaging.binder import Description, Group, OtherMember, TopicDescription

_CONNECT_S = 4.0
_ASK_MS = 4_000
_AGAIN_S = 0.1


def describe(properties: Mapping[str, Any], binding: Binding, client_id: str) -> Description:
    """`properties` are those that all clients of the cluster share; `client_id` is what our consumers call themselves.

    Raises UnavailableError.
    """
    own = {name: value for name, value in properties.items() if name in KafkaAdminClient.DEFAULT_CONFIG}
    own |= {"request_timeout_ms": _ASK_MS, "bootstrap_timeout_ms": _ASK_MS}
    connection = Connection(lambda **how: KafkaAdminClient(**own, **how), _close, own)
    try:
        return _patiently(connection.get(_CONNECT_S), binding, client_id)
    except KafkaError as error:
        raise UnavailableError(f"Kafka does not answer: {denied(error)}{connection.hint}") from error
    finally:
        connection.forget()


def _patiently(client: Any, binding: Binding, client_id: str) -> Description:
    """A broker that has just started, or a topic that has just been made, is not ready for every question at once."""
    deadline = time.monotonic() + _ASK_MS / 1000
    while True:
        try:
            return _description(client, binding, client_id)
        except RetriableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_AGAIN_S)


def _description(client: Any, binding: Binding, client_id: str) -> Description:
    servers = len(client.describe_cluster()["brokers"])
    [topic] = client.describe_topics([binding.destination])
    if topic["error_code"] == UnknownTopicOrPartitionError.errno:
        return Description(servers)
    settings = _settings(client, binding.destination)
    partitions = topic["partitions"]
    destination = TopicDescription(
        partitions=len(partitions),
        copies=min(len(each["replica_nodes"]) for each in partitions),
        copies_in_sync=min(len(each["isr_nodes"]) for each in partitions),
        in_sync_needed=_number(settings.get("min.insync.replicas")),
        largest_message=_number(settings.get("max.message.bytes")),
        compacted="compact" in policy if (policy := settings.get("cleanup.policy")) else None,
    )
    numbers = [each["partition_index"] for each in partitions]
    if binding.group is None:
        return Description(servers, destination)
    waiting, deleted = _progress(client, binding.destination, binding.group, numbers)
    members, others = _members(client, binding.destination, binding.group, client_id)
    return Description(servers, destination, Group(members, waiting, deleted, others))


def _settings(client: Any, topic: str) -> dict[str, str]:
    """Of the topic; none where we may not know them."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    try:
        found = client.describe_configs([resource], config_filter="all")
    except (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
        return {}
    [by_name] = [settings for by_topic in found.values() for settings in by_topic.values()]
    return {name: str(each["value"]) for name, each in by_name.items()}


def _number(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdecimal() else None


def _progress(client: Any, topic: str, group: str, partitions: list[int]) -> tuple[int, int]:
    """How many messages the group has not handled, and how many of these are gone."""
    at = [TopicPartition(topic, number) for number in partitions]
    starts = client.list_partition_offsets(dict.fromkeys(at, OffsetSpec.EARLIEST))
    ends = client.list_partition_offsets(dict.fromkeys(at, OffsetSpec.LATEST))
    committed = client.list_group_offsets({group: at})[group]
    waiting = deleted = 0
    for each in at:
        # -1 where nothing has been committed: such a group begins at the start.
        given = committed[each].offset if each in committed else -1
        offset = given if given >= 0 else starts[each].offset
        waiting += max(0, ends[each].offset - offset)
        deleted += max(0, starts[each].offset - offset)
    return waiting, deleted


def _members(client: Any, topic: str, group: str, client_id: str) -> tuple[int, list[OtherMember]]:
    """The number of ours, and the others that want this topic."""
    try:
        members = client.describe_groups([group])[group]["members"]
    except GroupIdNotFoundError:
        return 0, []
    others = [
        OtherMember(f"{member['client_id']} at {member['client_host'].lstrip('/')}", _assigned(member, topic))
        for member in members
        if member["client_id"] != client_id and _wants(member, topic)
    ]
    return sum(member["client_id"] == client_id for member in members), others


def _wants(member: Mapping[str, Any], topic: str) -> bool:
    """True also where that can't be read: only the leader's own protocol says it."""
    metadata = member["member_metadata"]
    return not isinstance(metadata, Mapping) or topic in metadata["topics"]


def _assigned(member: Mapping[str, Any], topic: str) -> list[int]:
    assignment = member["member_assignment"]
    if not isinstance(assignment, Mapping):
        return []
    return sorted(n for each in assignment["assigned_partitions"] if each["topic"] == topic for n in each["partitions"])


def _close(client: Any) -> None:
    client.close()
