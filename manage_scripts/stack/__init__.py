"""Real servers from wheels and jars, and the services on top of them, as supervised child processes.

    with Postgres(folder / "postgres") as postgres, Kafka(folder / "kafka") as kafka:
        postgres.create_database("organization")
        postgres.url("organization"), kafka.bootstrap_servers

Each can be killed, paused, resumed and restarted while its clients watch; none outlives the process that started it.
"""

from manage_scripts.stack.databases import create_database, database_url
from manage_scripts.stack.errors import StackError
from manage_scripts.stack.kafka import Kafka, kafka_cluster
from manage_scripts.stack.platform import Platform
from manage_scripts.stack.postgres import Postgres
from manage_scripts.stack.process import SupervisedProcess
from manage_scripts.stack.servers import Servers
from manage_scripts.stack.together import start_together, stop_together
from manage_scripts.stack.valkey import Valkey
from manage_scripts.stack.waiting import wait_until

__all__ = [
    "Kafka",
    "Platform",
    "Postgres",
    "Servers",
    "StackError",
    "SupervisedProcess",
    "Valkey",
    "create_database",
    "database_url",
    "kafka_cluster",
    "start_together",
    "stop_together",
    "wait_until",
]
