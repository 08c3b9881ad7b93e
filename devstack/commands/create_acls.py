"""Give the users in deploy/kafka/acls.yaml their rights: ./manage_scripts/create_acls

KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_* and KAFKA_SSL_* configure the login, as they do for the services. The
login needs the right to change rights. No right is revoked: rights beyond the file are listed.
"""

import argparse
import os
from pathlib import Path

from devstack.acls import DEFINITIONS, create_acls, read_acls
from service_kit.settings.event_binders import kafka_security


def main() -> int:
    parser = argparse.ArgumentParser(prog="create_acls", description=__doc__)
    parser.add_argument(
        "--bootstrap-servers",
        default=os.environ.get("KAFKA_BOOTSTRAP_SERVERS"),
        help="host:port of Kafka's brokers, between commas (default: KAFKA_BOOTSTRAP_SERVERS)",
    )
    parser.add_argument("--file", type=Path, default=DEFINITIONS, help="the rights (default: deploy/kafka/acls.yaml)")
    options = parser.parse_args()
    if not options.bootstrap_servers:
        parser.error("say where Kafka is with --bootstrap-servers or KAFKA_BOOTSTRAP_SERVERS")
    print("\n".join(create_acls(options.bootstrap_servers, read_acls(options.file), kafka_security())))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
