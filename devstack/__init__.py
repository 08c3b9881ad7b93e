"""Real servers from wheels and jars, and the services on top of them, as supervised child processes.

    with Postgres(folder / "postgres") as postgres, Kafka(folder / "kafka") as kafka:
        postgres.create_database("organization")
        postgres.url("organization"), kafka.bootstrap_servers

Each can be killed, paused, resumed and restarted while its clients watch; none outlives the process that started it.
"""

from devstack.cluster import ServiceCluster
from devstack.errors import StackError
from devstack.kafka import Kafka, kafka_cluster
from devstack.postgres import Postgres, create_database, database_url
from devstack.process import SupervisedProcess, start_in_parallel, stop_in_parallel
from devstack.servers import Servers
from devstack.valkey import Valkey
from devstack.waiting import wait_until

__all__ = [
    "Kafka",
    "Postgres",
    "Servers",
    "ServiceCluster",
    "StackError",
    "SupervisedProcess",
    "Valkey",
    "create_database",
    "database_url",
    "kafka_cluster",
    "start_in_parallel",
    "stop_in_parallel",
    "wait_until",
]
