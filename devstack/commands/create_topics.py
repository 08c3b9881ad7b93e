"""Create the topics of deploy/kafka/topics.yaml where they are missing: ./manage_scripts/create_topics

KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_* and KAFKA_SSL_* configure the login, as they do for the services. With
EVENT_BINDER=redis they are created in the Redis that EVENT_REDIS_URL names. With EVENT_BINDER=rabbitmq there is nothing
to create, because the services declare what they use: it only checks that the RabbitMQ of RABBITMQ_URL answers.
"""

import argparse
import os
from pathlib import Path

from devstack.brokers import Broker, KafkaBroker, RabbitBroker, RedisBroker
from devstack.topics import DEFINITIONS, read_topics
from service_kit.settings.event_binders import chosen, kafka_security


def main() -> int:
    parser = argparse.ArgumentParser(prog="create_topics", description=__doc__)
    parser.add_argument(
        "--bootstrap-servers",
        default=os.environ.get("KAFKA_BOOTSTRAP_SERVERS"),
        help="host:port of Kafka's brokers, between commas (default: KAFKA_BOOTSTRAP_SERVERS)",
    )
    parser.add_argument("--file", type=Path, default=DEFINITIONS, help="the topics (default: deploy/kafka/topics.yaml)")
    options = parser.parse_args()
    broker = _broker(chosen(), options.bootstrap_servers)
    if not broker.address:
        parser.error(
            "give the address of the platform that EVENT_BINDER names: with EVENT_REDIS_URL or RABBITMQ_URL, or "
            "for Kafka with --bootstrap-servers or KAFKA_BOOTSTRAP_SERVERS"
        )
    print("\n".join(broker.create_topics(read_topics(options.file))))
    return 0


def _broker(binder: str, bootstrap_servers: str | None) -> Broker:
    """Raises ImproperlyConfigured."""
    if binder == "redis":
        return RedisBroker(os.environ.get("EVENT_REDIS_URL", ""))
    if binder == "rabbitmq":
        return RabbitBroker(os.environ.get("RABBITMQ_URL", ""))
    return KafkaBroker(bootstrap_servers or "", kafka_security())


if __name__ == "__main__":
    raise SystemExit(main())
