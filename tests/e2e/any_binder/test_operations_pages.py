"""The operations pages in a real browser, on running services. SCREENSHOTS names a folder to keep pictures in."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.screen import Console
from tests.e2e.world import Customer, World, fresh

PAGES = "/admin/event_stream_operations/operations/"
BINDING = "inboundOrgChanges"


@pytest.fixture
def customer(world: World) -> Customer:
    return world.customer()


@pytest.fixture
def licensing(world: World, screen: Console) -> Iterator[Page]:
    """Logged in to the licensing service's admin. Nothing is paused afterwards."""
    screen.log_in(f"{world.platform.licensing_urls[0]}/admin/")
    yield screen.page
    screen.open(f"{world.platform.licensing_urls[0]}{PAGES}workers/")
    resume = screen.page.get_by_role("button", name=f"Resume all of {BINDING}")
    if resume.is_visible():
        resume.click()
        expect(resume).to_be_hidden()


def row(page: Page, partition: int) -> "object":
    return page.get_by_role("table", name=f"Partitions of {BINDING}").get_by_role("row").nth(partition + 1)


def test_pause_and_resume_a_running_worker(world: World, screen: Console, licensing: Page, customer: Customer) -> None:
    world.cached(customer)
    page = licensing
    page.get_by_role("link", name="Operations", exact=True).first.click()
    expect(page.get_by_role("table", name="Processes").get_by_role("row")).to_have_count(5)
    screen.keep("operations-overview")
    page.get_by_role("link", name="Bindings and workers").click()
    reading = page.locator(".state-reading")
    expect(reading).to_have_count(6)
    screen.keep("operations-workers")

    page.get_by_label("Reason").first.fill("schema change")
    page.get_by_role("button", name=f"Pause all of {BINDING}").click()

    expect(page.get_by_text(f"The binding {BINDING} is paused")).to_be_visible()
    paused = page.locator("td .state-paused")
    expect(paused).to_have_count(6)
    screen.keep("operations-paused")
    watch = world.watch_workers()
    contact = fresh("contact")[:30]
    changed = world.change(customer, contact)
    page_lag = page.locator("dd").first
    expect(page_lag).not_to_have_text("0")
    assert watch.seen("eviction.applied") == []
    assert {each.contact for each in world.lookups(customer)} == {"Ann"}, "nothing is evicted while it is paused"

    page.get_by_role("button", name=f"Resume all of {BINDING}").click()

    watch.eviction(customer.id, changed.headers["tmx-correlation-id"])
    expect(reading).to_have_count(6)
    assert {each.contact for each in world.lookups(customer)} == {contact}
    screen.open(f"{world.platform.licensing_urls[0]}{PAGES}")
    expect(page.get_by_text("Paused. Reason: schema change")).to_be_visible()


def test_the_page_refreshes_itself_and_leaves_the_reader_alone(screen: Console, licensing: Page) -> None:
    page = licensing
    page.get_by_role("link", name="Operations", exact=True).first.click()
    summary = page.locator("summary").first
    summary.focus()
    page.keyboard.press("Enter")
    identity = page.locator("details[open]").get_attribute("id")
    seen = page.locator("time").nth(1)
    before = seen.get_attribute("datetime")
    expect(seen).not_to_have_attribute("datetime", before or "", timeout=20_000)
    expect(page.locator(f"#{identity}")).to_have_attribute("open", "")
    expect(page.locator(f"#{identity} summary")).to_be_focused()
    expect(page.get_by_text(re.compile("Refreshed at"))).to_be_visible()
    toggle = page.get_by_role("button", name="Refresh every 5 s")
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "false")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.wait_for_function("document.querySelector('[data-operations-stopped]') !== null")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert requests == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_fit_a_narrow_screen(world: World, screen: Console, licensing: Page, scheme: str) -> None:
    page = licensing
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": 360, "height": 740})
    for name in ("", "workers/"):
        screen.open(f"{world.platform.licensing_urls[0]}{PAGES}{name}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        screen.keep(f"operations-{name.strip('/') or 'overview'}-narrow-{scheme}")
