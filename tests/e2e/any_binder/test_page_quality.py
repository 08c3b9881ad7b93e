"""Every page of both services, wide and narrow, light and dark: nothing to scroll sideways, nothing serious to axe.

The pages come from the services' own URL configurations: one that is added is looked at, or named here as no page.
"""

import json
import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from devstack.cluster import ServiceCluster
from devstack.django_commands import LICENSING, ORGANIZATION, manage
from event_stream.user_context import CORRELATION_ID
from tests.e2e.page_findings import findings
from tests.e2e.screen import Console
from tests.e2e.world import World, fresh

LIST_PAGES = """
import json
from django.urls import get_resolver

def pages(patterns, namespaces, prefix):
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            inner = [*namespaces, pattern.namespace] if pattern.namespace else namespaces
            yield from pages(pattern.url_patterns, inner, path)
        elif pattern.name:
            yield ":".join([*namespaces, pattern.name]), path

print(json.dumps(list(pages(get_resolver().url_patterns, [], ""))))
"""
NO_PAGES = {
    "admin:jsi18n": "a script",
    "admin:autocomplete": "JSON for a widget",
    "admin:view_on_site": "leads elsewhere",
    "admin:logout": "POST alone",
    "rest_framework:logout": "POST alone",
    "admin:event_stream_dead_letters_body": "a download",
    "openapi": "JSON",
    "health-live": "JSON",
    "health-ready": "JSON",
    "metrics": "text",
    "trace": "JSON",
    "traces": "JSON",
    "home": "leads to the documentation",
}
KNOWN = {
    "docs": frozenset({"nested-interactive", "select-name", "color-contrast", "html-has-lang"}),
    "admin:auth_": frozenset({"aria-prohibited-attr", "label"}),
    # The label of its search is a picture, which has a text.
    "admin:": frozenset({"label-title-only"}),
}
"""What axe objects to in Swagger UI and in Django's own widgets, by the beginning of the page's name."""
SHARED = ("admin:auth_", "admin:axes_", "admin:password_")
"""The same pages in both services: looked at in one."""


@pytest.fixture(scope="module")
def reader(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    context.set_default_timeout(20_000)
    yield context.new_page()
    context.close()


def object_ids(page: Page, changelist: str) -> list[str]:
    """Of the rows of a list of the admin, as its links name them."""
    page.goto(changelist)
    links = page.locator("#result_list tbody th a, #result_list tbody td.field-__str__ a").all()
    hrefs = [link.get_attribute("href") or "" for link in links[:1]]
    return [found[1] for href in hrefs if (found := re.search(r"/([^/]+)/change/", href))]


def addresses(page: Page, base: str, names: list[tuple[str, str]], values: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(name, URL) of each page. A list of the admin without rows has no pages of a row."""
    for name, pattern in names:
        if name in NO_PAGES or name.rpartition(":")[2] in NO_PAGES:
            continue
        if name == "admin:app_list":
            apps = re.search(r"\(\?P<app_label>([^)]*)\)", pattern)
            assert apps
            yield from ((name, f"{base}/admin/{app}/") for app in apps[1].split("|"))
            continue
        path = pattern
        if row := re.search(r"<path:object_id>|<id>", path):
            ids = object_ids(page, f"{base}/{path[: row.start()]}")
            if not ids:
                continue
            path = path.replace(row[0], ids[0])
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda match: values[match[1]], path)
        yield name, f"{base}/{path}"


@pytest.mark.parametrize("service", ["organization", "licensing"])
def test_every_page_is_usable(world: World, reader: Page, platform: ServiceCluster, service: str) -> None:
    project, base, settings = {
        "organization": (ORGANIZATION, platform.organization_url, platform.organization_settings),
        "licensing": (LICENSING, platform.licensing_urls[0], platform.licensing_settings),
    }[service]
    listed = json.loads(manage(project, settings, ["shell", "-v", "0", "-c", LIST_PAGES]))
    names = [(name, path) for name, path in listed if service == "organization" or not name.startswith(SHARED)]
    customer = world.customer()
    values = {
        "organization_id": customer.id,
        "license_id": customer.license.rpartition("/")[2],
        "correlation_id": world.change(customer, fresh("contact")).headers[CORRELATION_ID],
    }
    # A row for the list of logins that have failed.
    httpx.post(f"{base}/admin/login/", data={"username": fresh("nobody"), "password": "wrong"})
    found: dict[str, list[str]] = {}

    for url in (
        f"{base}/admin/login/",
        f"{base}/api-auth/login/",
        f"{base}/{customer.path.lstrip('/')}",
        f"{base}/no/such/page",
    ):
        reader.goto(url)
        found[f"without a login: {url.removeprefix(base)}"] = findings(reader)
    Console(reader).log_in(f"{base}/admin/")
    if service == "organization":
        # So many pages that not all of them have a link.
        for _ in range(9):
            world.customer()
        for number in (1, 5):
            reader.goto(f"{base}/v1/organization?size=1&page={number}")
            expect(reader.locator(".pagination")).to_contain_text("…")
            found[f"page {number} of many"] = findings(reader)
    seen = 0
    for name, url in addresses(reader, base, names, values):
        answer = reader.goto(url)
        assert answer is not None
        # What nobody may do in the admin is refused with a page, too.
        assert answer.status in {200, 403}, (name, url, answer.status)
        known = frozenset[str]().union(*(rules for start, rules in KNOWN.items() if name.startswith(start)))
        found[f"{name} {url.removeprefix(base)}"] = findings(reader, but=known)
        seen += 1

    assert seen > 10
    complaints = [f"{name}: {problem}" for name, problems in found.items() for problem in problems]
    assert not complaints, "\n".join(complaints)
