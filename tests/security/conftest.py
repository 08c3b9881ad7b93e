"""Both services, believing the tokens of an issuer that the tests have in hand."""

import uuid
from collections.abc import Iterator

import pytest

from devstack.cluster import ServiceCluster
from devstack.servers import Servers
from tests.e2e.admin import ADMIN
from tests.e2e.world import redis_database
from tests.security.issuer import Issuer, running


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    with running() as issuer:
        yield issuer


@pytest.fixture(scope="session")
def platform(servers: Servers, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceCluster]:
    platform = ServiceCluster(
        servers,
        tmp_path_factory.mktemp("secured"),
        licensing=1,
        workers=1,
        topic=f"security-{uuid.uuid4().hex}",
        databases=("security_organization", "security_licensing"),
        redis_url=redis_database(servers.redis_url, 15),
        issuer=issuer,
        settings={
            "WEB_CONCURRENCY": "1",
            "ACCESS_LOG": "true",
            # No test is about a service that is away.
            "ORGANIZATION_CONNECT_TIMEOUT_S": "5",
            "ORGANIZATION_READ_TIMEOUT_S": "10",
            "ORGANIZATION_LOOKUP_BUDGET_S": "10",
        },
    )
    platform.prepare(admin=ADMIN)
    with platform:
        yield platform
