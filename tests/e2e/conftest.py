"""One running platform for the tests of this folder: two licensing services, two workers."""

import shutil
import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from devstack.cluster import ServiceCluster
from devstack.issuer import make_issuer
from devstack.servers import Servers
from tests.e2e.admin import ADMIN, Admin
from tests.e2e.screen import Console
from tests.e2e.world import World, own_databases, redis_database


@pytest.fixture(scope="session")
def platform(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceCluster]:
    folder = tmp_path_factory.mktemp("platform")
    platform = ServiceCluster(
        servers,
        folder,
        licensing=2,
        workers=2,
        topic=f"e2e-{uuid.uuid4().hex}",
        databases=own_databases("e2e", servers.binder),
        redis_url=redis_database(servers.redis_url, 11),
        issuer=make_issuer(folder / "issuer"),
        settings={
            "ACCESS_LOG": "true",
            "WEB_CONCURRENCY": "1",
            # So long that no entry goes stale by itself while a test looks: a missing entry was evicted.
            "ORGANIZATION_MAX_STALENESS_S": "120",
            # So that charts move while a test looks.
            "OPERATIONS_SAMPLE_INTERVAL_S": "5",
        },
    )
    platform.prepare(admin=ADMIN)
    with platform:
        yield platform


@pytest.fixture(scope="session")
def world(platform: ServiceCluster) -> Iterator[World]:
    with World(platform) as world:
        yield world


@pytest.fixture(scope="session")
def admin(platform: ServiceCluster) -> Iterator[Admin]:
    """Logged in to the organization service's admin."""
    with Admin(platform.organization_url) as admin:
        yield admin


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no chromium: install one to have the pages tested in a browser")
    # As long as the actions wait: the machine may be busy.
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def screen(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Console]:
    """Of a British reader, or of the locale that the test asks for."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale=getattr(request, "param", "en-GB"))
    context.set_default_timeout(20_000)
    screen = Console(context.new_page())
    yield screen
    screen.settle()
    complaints = list(screen.complaints)
    context.close()
    assert complaints == []
