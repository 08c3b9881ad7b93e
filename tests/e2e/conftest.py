"""One running platform for the tests of this folder: two licensing services, two workers."""

import uuid
from collections.abc import Iterator

import pytest

from manage_scripts.stack.platform import Platform
from manage_scripts.stack.servers import Servers
from tests.e2e.admin import ADMIN, Admin
from tests.e2e.world import World, own_databases, redis_database


@pytest.fixture(scope="session")
def platform(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(
        servers,
        tmp_path_factory.mktemp("platform"),
        licensing=2,
        workers=2,
        topic=f"e2e-{uuid.uuid4().hex}",
        databases=own_databases("e2e", servers.binder),
        redis_url=redis_database(servers.redis_url, 11),
        settings={
            "ACCESS_LOG": "true",
            "WEB_CONCURRENCY": "1",
            # So long that no entry stops being vouched for by itself while a test looks: what is gone, was evicted.
            "ORGANIZATION_BOUND_S": "120",
        },
    )
    platform.prepare(admin=ADMIN)
    with platform:
        yield platform


@pytest.fixture(scope="session")
def world(platform: Platform) -> Iterator[World]:
    with World(platform) as world:
        yield world


@pytest.fixture(scope="session")
def admin(platform: Platform) -> Iterator[Admin]:
    """Logged in to the organization service's admin."""
    with Admin(platform.organization_url) as admin:
        yield admin
