"""Create the topics of deploy/kafka/topics.yaml where they are missing: ./manage_scripts/create_topics

KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_* and KAFKA_SSL_* say how to log in, as they do for the services. With
EVENT_BINDER=redis they are created in the Redis that EVENT_REDIS_URL names.
"""

import argparse
import os
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from event_stream.web.kafka_security import kafka_security
from manage_scripts.stack.brokers.redis import RedisBroker
from manage_scripts.stack.errors import StackError
from manage_scripts.stack.topics import DEFINITIONS, create_topics, read_topics


def main() -> int:
    parser = argparse.ArgumentParser(prog="create_topics", description=__doc__)
    parser.add_argument(
        "--bootstrap-servers",
        default=os.environ.get("KAFKA_BOOTSTRAP_SERVERS"),
        help="host:port of Kafka's brokers, between commas (default: KAFKA_BOOTSTRAP_SERVERS)",
    )
    parser.add_argument("--file", type=Path, default=DEFINITIONS, help="the topics (default: deploy/kafka/topics.yaml)")
    options = parser.parse_args()
    on_redis, url = os.environ.get("EVENT_BINDER") == "redis", os.environ.get("EVENT_REDIS_URL")
    if on_redis and not url:
        parser.error("say where the events' Redis is with EVENT_REDIS_URL")
    if not on_redis and not options.bootstrap_servers:
        parser.error("say where Kafka is with --bootstrap-servers or KAFKA_BOOTSTRAP_SERVERS")
    try:
        topics = read_topics(options.file)
        if on_redis:
            lines = RedisBroker(url or "").create_topics(topics)
        else:
            lines = create_topics(options.bootstrap_servers, topics, kafka_security())
        print("\n".join(lines))
    except (StackError, ImproperlyConfigured) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
