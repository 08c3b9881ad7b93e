"""Changing what a Kafka cluster has: topics, rights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kafka.admin import KafkaAdminClient
from kafka.errors import AuthorizationError, KafkaError

from manage_scripts.stack.errors import StackError


@contextmanager
def kafka_admin(bootstrap_servers: str, security: Mapping[str, Any] | None = None) -> Iterator[KafkaAdminClient]:
    """kafka-python's admin client, its errors one sentence each. `security`: its settings for TLS and a login."""
    about = dict(security or {})
    try:
        admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers.split(","), **about)
    except KafkaError as error:
        # A broker that refuses a login or a certificate is asked again until time is up, and that is all one hears.
        ask = " Is it there, and does it take this login and this security protocol?" if about else ""
        raise StackError(f"Kafka can't be reached at {bootstrap_servers}: {error}.{ask}") from error
    try:
        yield admin
    except AuthorizationError as error:
        user = about.get("sasl_plain_username", "somebody without a login")
        raise StackError(f"Kafka does not allow this to {user}: {type(error).__name__}.") from error
    except KafkaError as error:
        raise StackError(f"Kafka refuses: {error}.") from error
    finally:
        admin.close()
