"""Create the topics of deploy/kafka/topics.yaml where they are missing: ./manage_scripts/create_topics"""

import argparse
import os
import sys
from pathlib import Path

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
        for line in create_topics(options.bootstrap_servers, read_topics(options.file)):
            print(line)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
