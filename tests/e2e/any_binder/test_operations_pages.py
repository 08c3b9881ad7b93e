"""The operations pages in a real browser, on running services. SCREENSHOTS names a folder to keep pictures in."""

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from devstack.waiting import wait_until
from tests.e2e.each_binder.test_foreign_producers import Foreigner
from tests.e2e.screen import Console
from tests.e2e.world import DEADLINE_S, Customer, World, fresh

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
    # Those that earlier tests have ended are listed as gone.
    expect(page.get_by_role("table", name="Processes").locator(".state-running")).to_have_count(4)
    ready = world.http.get(f"{world.platform.licensing_urls[0]}/health/ready").json()
    # Web processes and workers of one service run the same.
    expect(page.get_by_text(f"configuration {ready['configuration']['version']}")).to_have_count(4)
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


def test_a_binding_is_paused_and_resumed_by_the_keyboard_alone(screen: Console, licensing: Page) -> None:
    page, keyboard = licensing, licensing.keyboard
    screen.tab_to("Operations")
    keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Processes")).to_be_visible()
    screen.tab_to("Bindings and workers")
    keyboard.press("Enter")
    expect(page.locator(".state-reading")).to_have_count(6)
    screen.tab_to("Reason")
    keyboard.type("no mouse")
    screen.tab_to(f"Pause all of {BINDING}")
    keyboard.press("Enter")
    expect(page.get_by_text(f"The binding {BINDING} is paused")).to_be_visible()
    expect(page.locator("td .state-paused")).to_have_count(6)
    screen.tab_to(f"Resume all of {BINDING}")
    keyboard.press("Enter")
    expect(page.locator(".state-reading")).to_have_count(6)


def test_1200_dead_letters_are_discarded_by_a_filter_and_the_keyboard_alone(
    world: World, screen: Console, licensing: Page, customer: Customer
) -> None:
    """More than Django takes form fields of, and those of another key stay."""
    page, keyboard, url = licensing, licensing.keyboard, f"{world.platform.licensing_urls[0]}{PAGES}dead-letters/"
    foreigner, key = Foreigner(world), fresh("bulk")
    foreigner.send(b"{", key=f"stays-{key[5:]}".encode(), partition=0)
    good = {"action": "UPDATED", "organizationId": customer.id, "correlationId": key, "type": "t"}
    for _ in range(24):
        # A worker stops after 100 in a row.
        foreigner.send_all([b"{"] * 50, key=key.encode(), partition=0)
        foreigner.send(json.dumps(good).encode(), key=customer.id.encode(), partition=0)
    foreigner.close()
    count = page.get_by_role("link", name="Discard all 1,200…")

    def are_there() -> bool:
        screen.open(f"{url}?q={key}")
        return count.is_visible()

    assert wait_until(are_there, within_s=DEADLINE_S)
    screen.open(url)
    screen.tab_to("Words of error, key or id")
    keyboard.type(key)
    keyboard.press("Enter")
    expect(count).to_be_visible()
    screen.tab_to("Discard all 1,200…")
    keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Discard 1,200 dead letters?")).to_be_visible()
    screen.keep("operations-discard-1200")
    screen.tab_to("Discard 1,200")
    keyboard.press("Enter")
    expect(page.get_by_text("1,200 of 1,200 done")).to_be_visible(timeout=DEADLINE_S * 1000)
    screen.keep("operations-discarded-1200")
    screen.open(f"{url}?q={key}")
    expect(page.get_by_text("None matches.")).to_be_visible()
    screen.open(f"{url}?q=stays-{key[5:]}")
    expect(page.get_by_role("link", name="Discard it…")).to_be_visible()


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


def test_parked_entries_are_sent_again_on_the_page(world: World, screen: Console, customer: Customer) -> None:
    page, url = screen.page, f"{world.platform.organization_url}{PAGES}outbox/"
    screen.log_in(f"{world.platform.organization_url}/admin/")
    event = world.published(customer.id)
    # As if Kafka had refused it: it goes out once more.
    world.organization_sql(
        "UPDATE event_stream_outbox SET published_at = NULL, parked_at = now(), error = 'MessageSizeTooLargeError' "
        "WHERE correlation_id = %s",
        event.correlation_id,
    )
    screen.open(url)
    expect(page.get_by_text(re.compile("^The relay .* leads"))).to_be_visible()
    expect(page.get_by_role("table", name="By error").get_by_role("row")).to_have_count(2)
    screen.keep("operations-outbox")
    page.get_by_role("button", name="Send again the 1 with the error MessageSizeTooLargeError").click()
    expect(page.get_by_text("Of 1 parked entries that matched, 1 are to be sent again.")).to_be_visible()
    world.published(customer.id)
    screen.open(url)
    expect(page.get_by_text("None.", exact=True)).to_be_visible()


def test_an_organization_is_explained_and_evicted_on_the_page(
    world: World, screen: Console, licensing: Page, customer: Customer
) -> None:
    world.cached(customer)
    page = licensing
    screen.open(f"{world.platform.licensing_urls[0]}{PAGES}cache/")
    page.get_by_label("Id", exact=True).fill(customer.id)
    page.get_by_label("Id", exact=True).press("Enter")
    expect(page.get_by_text(re.compile("known to be current at"))).to_be_visible()
    screen.keep("operations-cache")
    page.get_by_role("button", name="Evict it").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"The organization {customer.id} is evicted")).to_be_visible()
    assert world.lookup(customer, 0).cache == "miss"


def test_a_poisoned_message_is_grouped_edited_and_replayed(
    world: World, screen: Console, licensing: Page, customer: Customer
) -> None:
    page, url = licensing, f"{world.platform.licensing_urls[0]}{PAGES}dead-letters/"
    watch, poison, foreigner = world.watch_workers(), fresh("poison"), Foreigner(world)
    foreigner.send(f"{{ {poison}".encode(), key=customer.id.encode())
    foreigner.close()
    watch.wait("dead_letter.parked")
    screen.open(url)
    group = page.get_by_role("table", name=re.compile("^Groups")).get_by_role("row").filter(has_text="ConversionError")
    expect(group).to_be_visible()
    screen.keep("operations-dead-letters")
    letter = page.get_by_role("table", name=re.compile("^Letters")).get_by_role("row").filter(has_text=customer.id)
    letter.first.get_by_role("link").click()
    expect(page.get_by_label("Body to replay in its place")).to_have_value(f"{{ {poison}")
    screen.keep("operations-dead-letter")
    body = {"action": "UPDATED", "organizationId": customer.id, "correlationId": poison, "type": "t"}
    page.get_by_label("Body to replay in its place").fill(json.dumps(body))
    page.get_by_role("button", name="Replay with this body").click()
    expect(page.get_by_text("1 of 1 done")).to_be_visible()
    watch.eviction(customer.id, poison)
    screen.open(f"{url}?q={customer.id}")
    expect(page.get_by_text(re.compile("^None"))).to_be_visible()


def test_the_doctor_and_the_meter_have_pages(world: World, screen: Console, licensing: Page) -> None:
    page = licensing
    screen.open(f"{world.platform.licensing_urls[0]}{PAGES}doctor/")
    findings = page.get_by_role("table", name="Findings")
    expect(findings.get_by_role("row").filter(has_text="organization service")).to_contain_text("ok")
    screen.keep("operations-doctor")
    page.get_by_role("link", name="Consistency").click()
    expect(page.get_by_text("Nobody measures now.")).to_be_visible()
    screen.keep("operations-consistency")


def test_charts_move(screen: Console, licensing: Page) -> None:
    page = licensing
    page.get_by_role("link", name="Operations", exact=True).first.click()
    page.get_by_role("link", name="Bindings and workers").click()
    line = page.locator(".operations-chart polyline").first
    expect(line).to_be_attached(timeout=60_000)
    points = line.get_attribute("points")
    expect(line).not_to_have_attribute("points", points or "", timeout=60_000)
