"""The rights of `deploy/kafka/acls.yaml` on a Kafka cluster."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)
from kafka.errors import SecurityDisabledError

from devstack.environment import ROOT
from devstack.errors import StackError
from devstack.kafka import kafka_admin

DEFINITIONS = ROOT / "deploy" / "kafka" / "acls.yaml"
_KINDS = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP}


def read_acls(file: Path = DEFINITIONS) -> dict[str, list[ACL]]:
    """By the name of the user."""
    try:
        users = yaml.safe_load(file.read_text())["users"]
        return {user: [acl for right in rights for acl in _acls(user, **right)] for user, rights in users.items()}
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        should_be = "a table `users` of lists of rights, each a topic or a group and what one `may`"
        raise StackError(f"{file} should be {should_be}: {error}.") from error


def create_acls(bootstrap_servers: str, wanted: Mapping[str, list[ACL]], security: Mapping[str, Any]) -> list[str]:
    """Allow what is missing; one line for each user, and one for each right beyond the file's."""
    with kafka_admin(bootstrap_servers, security) as admin:
        try:
            return [line for user, acls in wanted.items() for line in _allow(admin, user, acls)]
        except SecurityDisabledError as error:
            raise StackError(
                "This Kafka lets everybody do everything: it has no authorizer (deploy/kafka/security.properties)."
            ) from error


def _allow(admin: KafkaAdminClient, user: str, wanted: list[ACL]) -> list[str]:
    found, _ = admin.describe_acls(_all_of(user))
    missing = [acl for acl in wanted if acl not in found]
    if missing and (failed := admin.create_acls(missing)["failed"]):
        raise StackError(f"Kafka refuses rights of {user}: {', '.join(error.__name__ for error in failed)}.")
    beyond = [acl for acl in found if acl not in wanted]
    return [
        f"{user}: {len(wanted)} rights, {len(missing)} of them new",
        *(f"{user}: beyond acls.yaml, {acl.permission_type.name} {_in_words(acl)}" for acl in beyond),
    ]


def _acls(user: str, may: list[str], **resource: str) -> list[ACL]:
    [(kind, name)] = resource.items()
    pattern = ResourcePattern(_KINDS[kind], name)
    return [ACL(f"User:{user}", "*", ACLOperation[operation], ACLPermissionType.ALLOW, pattern) for operation in may]


def _all_of(user: str) -> ACLFilter:
    anything = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
    return ACLFilter(f"User:{user}", None, ACLOperation.ANY, ACLPermissionType.ANY, anything)


def _in_words(acl: ACL) -> str:
    resource = acl.resource_pattern
    prefixed = "*" if resource.pattern_type is ACLResourcePatternType.PREFIXED else ""
    return f"{acl.operation.name} of {resource.resource_type.name.lower()} {resource.resource_name}{prefixed}"
