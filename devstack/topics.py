"""The topics of `deploy/kafka/topics.yaml` on a Kafka cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from kafka.admin import KafkaAdminClient

from devstack.environment import ROOT
from devstack.errors import StackError
from devstack.kafka import kafka_admin

DEFINITIONS = ROOT / "deploy" / "kafka" / "topics.yaml"


@dataclass(frozen=True, slots=True)
class Topic:
    """`in_sync` of the `copies` must have a record before it counts as written."""

    name: str
    partitions: int
    copies: int
    in_sync: int
    settings: dict[str, str] = field(default_factory=dict)


def read_topics(file: Path = DEFINITIONS) -> list[Topic]:
    try:
        return [Topic(**entry) for entry in yaml.safe_load(file.read_text())["topics"]]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise StackError(
            f"{file} should be a list `topics` of name, partitions, copies, in_sync, settings: {error}."
        ) from error


def create_topics(bootstrap_servers: str, topics: list[Topic], security: Mapping[str, Any] | None = None) -> list[str]:
    """Create what is missing; one line for each topic that says how it is now.

    A topic with another number of partitions is an error and is left alone: more would break the order of events.
    `security` are kafka-python's settings for TLS and the login of somebody who may create topics.
    """
    with kafka_admin(bootstrap_servers, security) as admin:
        brokers = len(admin.describe_cluster()["brokers"])
        existing = set(admin.list_topics())
        return [_verify(admin, topic) if topic.name in existing else _create(admin, topic, brokers) for topic in topics]


def _create(admin: KafkaAdminClient, topic: Topic, brokers: int) -> str:
    copies = min(topic.copies, brokers)
    configs = topic.settings | {"min.insync.replicas": str(min(topic.in_sync, copies))}
    wanted = {"num_partitions": topic.partitions, "replication_factor": copies, "configs": configs}
    admin.create_topics({topic.name: wanted}, wait_for_metadata=True)
    shortage = f" ({topic.copies} are wanted; there are {brokers} brokers)" if copies < topic.copies else ""
    return f"{topic.name} created: {topic.partitions} partitions, copies of each: {copies}{shortage}"


def _verify(admin: KafkaAdminClient, topic: Topic) -> str:
    [description] = admin.describe_topics([topic.name])
    partitions = len(description["partitions"])
    if partitions != topic.partitions:
        raise StackError(
            f"The topic {topic.name} has {partitions} partitions where {topic.partitions} are wanted. "
            "That is not changed while there are events in it: make a new topic, or change topics.yaml and "
            "ORG_CHANGE_PARTITIONS together."
        )
    return f"{topic.name} is there: {partitions} partitions"
