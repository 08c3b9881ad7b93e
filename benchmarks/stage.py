"""Servers, services and customers for a benchmark to work on."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from benchmarks.http_load import Request
from devstack import ServiceCluster
from devstack.servers import start_servers


@dataclass(frozen=True, slots=True)
class Customer:
    """An organization and one of its licenses, with what a lookup of it is answered."""

    organization_id: str
    organization: dict[str, str]
    license_path: str
    lookup: dict[str, str]

    def look_up(self) -> Request:
        return Request("GET", self.license_path, self.lookup)

    def change(self, number: int) -> Request:
        body = {**self.organization, "contactPhone": f"+1 555 {number:07}"}
        path = f"/v1/organization/{self.organization_id}"
        return Request("PUT", path, {"id": self.organization_id, **body}, json.dumps(body))


@contextmanager
def prepared() -> Iterator[tuple[ServiceCluster, Path]]:
    """Both services and the worker, not started yet, and a folder for what else is to be kept.

    PostgreSQL, Valkey and Kafka run as under `./manage_scripts/run`, flushes to the disk included. They are always our
    own: what a figure means depends on how they are set up.
    """
    for name in ("DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary:
        folder = Path(temporary)
        # PostgreSQL, started by root, runs as somebody else, who has to get to its data.
        folder.chmod(0o711)
        servers = start_servers(folder / "servers", durable=True)
        try:
            platform = ServiceCluster(servers, folder)
            platform.prepare()
            yield platform, folder
        finally:
            servers.stop()


@contextmanager
def running() -> Iterator[tuple[ServiceCluster, Path]]:
    """The same, started."""
    with prepared() as (platform, folder), platform:
        yield platform, folder


def customers(platform: ServiceCluster, amount: int) -> list[Customer]:
    """New ones, made through the services' own API."""
    with httpx.Client(timeout=30) as client:
        return [_customer(client, platform, number) for number in range(amount)]


def _customer(client: httpx.Client, platform: ServiceCluster, number: int) -> Customer:
    organization = {
        "name": f"Customer {number}",
        "contactName": "Ann Example",
        "contactEmail": f"ann{number}@example.org",
        "contactPhone": "+1 555 0100",
    }
    made = client.post(f"{platform.organization_url}/v1/organization", json=organization).raise_for_status().json()
    license = {
        "description": "Inventory of software assets, all modules",
        "productName": "Ostock",
        "licenseType": "complete",
        "comment": "Renewed every January",
    }
    path = f"/v1/organization/{made['id']}/license"
    given = client.post(f"{platform.licensing_urls[0]}{path}", json=license).raise_for_status().json()
    contact = {field: value for field, value in organization.items() if field != "name"}
    lookup = {
        "licenseId": given["licenseId"],
        "organizationId": made["id"],
        **license,
        "organizationName": organization["name"],
        **contact,
    }
    return Customer(made["id"], organization, f"{path}/{given['licenseId']}", lookup)


def port_of(url: str) -> int:
    port = urlsplit(url).port
    if port is None:
        raise ValueError(f"{url} has no port")
    return port
