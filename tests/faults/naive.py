"""The control: commit, then send; consume, then delete; look into the cache, else ask and set. On the same servers."""

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import cast

import httpx
import psycopg
import redis
from kafka import KafkaProducer

from devstack.ports import free_port
from devstack.process import SupervisedProcess, start_in_parallel, stop_in_parallel
from devstack.waiting import wait_until
from tests.consistency.history import Read, Write
from tests.consistency.load import Unanswered
from tests.consistency.subjects import naive_web, naive_worker
from tests.e2e.world import DEADLINE_S, Customer
from tests.faults.evidence import ends

TABLE = "naive_organization"


class Naive:
    """A service, its consumer and its cache, and a client of them. Each dies as it may, and is started again."""

    instances = 1

    def __init__(
        self,
        *,
        database_url: str,
        redis_url: str,
        bootstrap_servers: str,
        topic: str,
        port: int,
        asked_at: str,
        folder: Path,
    ) -> None:
        own = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "ORG_CHANGE_TOPIC": topic,
            "ORGANIZATION_SERVICE_URL": asked_at,
        }
        self._bootstrap_servers = bootstrap_servers
        self.topic = topic
        web_port = free_port()
        self._organization_url, self._web_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{web_port}"
        self.organization = naive_web("naive_organization", port, own, folder)
        self.web = naive_web("cache_aside_web", web_port, own, folder)
        self.worker = naive_worker(own, folder, ready=lambda: True)
        self._http = httpx.Client(timeout=10)

    @property
    def processes(self) -> list[SupervisedProcess]:
        return [self.organization, self.web, self.worker]

    def start(self) -> None:
        start_in_parallel(self.processes)

    def stop(self) -> None:
        stop_in_parallel(self.processes)
        self._http.close()

    def revive(self) -> None:
        """What has died by itself, or was killed, runs again."""
        start_in_parallel([process for process in self.processes if not process.is_running])

    def restart(self) -> None:
        """Of those with a connection to Redis: on a kept one to a demoted server they would be refused for ever."""
        stop_in_parallel([self.web, self.worker])
        self.revive()

    def write(self, customer: Customer) -> Write | Unanswered:
        began_s = time.time()
        try:
            answer = self._http.patch(f"{self._organization_url}/v1/organization/{customer.id}").raise_for_status()
        except httpx.HTTPError as error:
            return Unanswered(customer, "PATCH", began_s, time.time(), None, str(error))
        return Write(customer.id, int(answer.headers["Organization-Version"]), began_s, time.time())

    def read(self, customer: Customer, instance: int) -> Read | Unanswered:
        began_s = time.time()
        try:
            answer = self._http.get(f"{self._web_url}/{customer.id}").raise_for_status()
        except httpx.HTTPError as error:
            return Unanswered(customer, "GET", began_s, time.time(), None, str(error))
        # It claims nothing: for the oracle, that it was current when the bound began.
        return Read(customer.id, int(answer.text), began_s, time.time(), 0.0, "hit")

    def settle(self, cache: redis.Redis) -> None:
        """Return when its consumer has read all that there is, or has had the time for it."""
        with closing(KafkaProducer(bootstrap_servers=self._bootstrap_servers.split(","))) as producer:
            for partition in ends(self._bootstrap_servers, self.topic):
                producer.send(self.topic, b"{}", partition=partition).get(DEADLINE_S)
        last = ends(self._bootstrap_servers, self.topic)

        def applied(partition: int) -> int:
            return int(cast("bytes | None", cache.get(f"applied:{partition}")) or -1)

        def done() -> bool:
            self.revive()
            return all(applied(partition) >= offset for partition, offset in last.items())

        wait_until(done, within_s=DEADLINE_S, every_s=0.1)


def create(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (id text PRIMARY KEY, version bigint NOT NULL)")


def add(database_url: str, customers: Sequence[Customer]) -> None:
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {TABLE} VALUES (%s, 0)", [[customer.id] for customer in customers])
