"""Create the topics of deploy/kafka/topics.yaml where they are missing: ./manage_scripts/create_topics

KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_* and KAFKA_SSL_* say how to log in, as they do for the services.
"""

import argparse
import os
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from event_stream.web.kafka_security import kafka_security
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
    if not options.bootstrap_servers:
        parser.error("say where Kafka is with --bootstrap-servers or KAFKA_BOOTSTRAP_SERVERS")
    try:
        for line in create_topics(options.bootstrap_servers, read_topics(options.file), kafka_security()):
            print(line)
    except (StackError, ImproperlyConfigured) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
