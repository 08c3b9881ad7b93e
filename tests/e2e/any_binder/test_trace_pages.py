"""The trace of a change in the admin, in a real browser."""

import re

import psycopg
import pytest
from playwright.sync_api import Page, expect

from devstack.process import start_in_parallel, stop_in_parallel
from devstack.waiting import wait_until
from tests.e2e.screen import Console
from tests.e2e.world import DEADLINE_S, Customer, World, fresh

STEPS = ["requested", "written", "sent", "received", "applied", "evicted", "filled", "answered"]


@pytest.fixture
def customer(world: World) -> Customer:
    customer = world.customer()
    world.cached(customer)
    return customer


def states(page: Page) -> list[str]:
    return [text.strip() for text in page.locator(".trace-steps tbody th").all_inner_texts()]


def edit(world: World, screen: Console, customer: Customer) -> str:
    """In the admin, as a person does; returns the correlation id of the change."""
    before = {event.correlation_id for event in world.events(customer.id)}
    page = screen.open(f"{world.platform.organization_url}/admin/organizations/organization/{customer.id}/change/")
    page.get_by_label("Contact name").fill(fresh("contact"))
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    [correlation_id] = {event.correlation_id for event in world.events(customer.id)} - before
    return correlation_id


def test_an_edit_is_followed_from_its_form_to_the_first_answer(
    world: World, screen: Console, customer: Customer
) -> None:
    screen.log_in(f"{world.platform.organization_url}/admin/")
    correlation_id = edit(world, screen, customer)
    page = screen.page
    page.get_by_role("link", name=correlation_id).click()
    expect(page).to_have_title(re.compile(f"Trace {correlation_id}"))
    expect(page.locator(".trace-steps tbody tr").first).to_contain_text("by admin, in the admin")

    def is_applied() -> bool:
        page.reload()
        return "evicted done" in states(page)

    assert wait_until(is_applied, within_s=DEADLINE_S), states(page)
    expect(page.locator(".trace-verdict")).to_have_text("applied, not looked up since")
    looked_up = world.lookup(customer, 0)

    def is_complete() -> bool:
        page.reload()
        return page.locator(".trace-verdict").inner_text() == "complete"

    assert wait_until(is_complete, within_s=DEADLINE_S), states(page)
    assert states(page) == [f"{step} done" for step in STEPS]
    assert page.locator(".trace-bar rect").count() == len(STEPS)
    screen.keep("trace")
    # From the licensing service's side: from the headers of the answer to the proof.
    licensing = world.platform.licensing_urls[0]
    screen.log_in(f"{licensing}/admin/")
    page = screen.open(f"{licensing}/admin/event_stream_trace/trace/why/")
    page.get_by_label("Organization").fill(customer.id)
    page.get_by_label("Version").fill(str(looked_up.version))
    page.get_by_label("Fresh at").fill(looked_up.headers["Organization-Fresh-At"])
    page.get_by_role("button", name="Explain").click()
    reasons = page.locator(".trace-reasons")
    expect(reasons).to_contain_text(f"version {looked_up.version} was written at")
    expect(reasons).to_contain_text(correlation_id)
    expect(reasons).to_contain_text("no later version is known")
    expect(reasons).to_contain_text("watermark")
    screen.keep("trace_why")
    page.get_by_role("link", name="The trace of this change").click()
    expect(page.locator(".trace-verdict")).to_have_text("complete")


def test_without_a_worker_the_page_shows_what_waits_and_why(world: World, screen: Console, customer: Customer) -> None:
    workers = world.platform.workers
    screen.log_in(f"{world.platform.organization_url}/admin/")
    stop_in_parallel(workers)
    try:
        correlation_id = edit(world, screen, customer)
        assert wait_until(lambda: world.event_of(correlation_id).published, within_s=DEADLINE_S)
        page = screen.open(f"{world.platform.organization_url}/admin/event_stream_trace/trace/?id={correlation_id}")
        expect(page.locator(".trace-verdict")).to_have_text("waiting")
        assert states(page)[2:6] == ["sent done", "received waiting", "applied waiting", "evicted waiting"]
        expect(page.locator(".trace-waiting").first).to_contain_text("the worker was stopped")
        screen.keep("trace_waiting")
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    finally:
        for worker in workers:
            worker.start()
    # The page refreshes itself.
    expect(page.locator(".trace-verdict")).to_have_text("applied, not looked up since", timeout=DEADLINE_S * 1000)


def test_a_trace_outlives_every_process(world: World, screen: Console, customer: Customer) -> None:
    processes = world.platform.processes
    screen.log_in(f"{world.platform.organization_url}/admin/")
    stop_in_parallel(world.platform.workers)
    correlation_id = edit(world, screen, customer)
    assert wait_until(lambda: world.event_of(correlation_id).published, within_s=DEADLINE_S)
    # The workers are not running yet.
    for process in processes[: -len(world.platform.workers)]:
        process.kill()
    start_in_parallel(processes)
    page = screen.open(f"{world.platform.organization_url}/admin/event_stream_trace/trace/?id={correlation_id}")
    verdict = page.locator(".trace-verdict")
    expect(verdict).to_have_text("applied, not looked up since", timeout=DEADLINE_S * 1000)
    world.lookup(customer, 0)

    def is_complete() -> bool:
        page.reload()
        return verdict.inner_text() == "complete"

    assert wait_until(is_complete, within_s=DEADLINE_S), states(page)
    at = page.locator(".trace-steps td[data-label=At]").all_inner_texts()
    for process in processes:
        process.kill()
    start_in_parallel(processes)
    page.reload()
    expect(verdict).to_have_text("complete")
    assert states(page) == [f"{step} done" for step in STEPS]
    assert page.locator(".trace-steps td[data-label=At]").all_inner_texts() == at


def test_a_change_of_many_rows_has_totals_and_the_slowest(world: World, screen: Console) -> None:
    correlation_id = fresh("bulk")
    with psycopg.connect(world.platform.organization_settings["DATABASE_URL"]) as connection:
        connection.execute("SELECT set_config('event_stream.correlation_id', %s, true)", [correlation_id])
        connection.execute(
            "INSERT INTO organizations_organization (id, name, contact_name, contact_email, contact_phone)"
            " SELECT gen_random_uuid(), 'Bulk ' || number, '', '', '' FROM generate_series(1, 700) AS number"
        )
    screen.log_in(f"{world.platform.organization_url}/admin/")
    page = screen.open(f"{world.platform.organization_url}/admin/event_stream_trace/trace/?id={correlation_id}")
    # The page refreshes itself; where the workers stand is stated every 5 s.
    expect(page.locator(".trace-summary")).to_have_text(
        "700 messages: 700 sent, 700 applied", timeout=DEADLINE_S * 1000
    )
    expect(page.locator(".trace-verdict")).to_have_text("complete")
    expect(page.get_by_role("heading", name="The slowest")).to_be_visible()
    assert page.locator("details[id^=slowest]").count() == 5
    screen.keep("trace_bulk")
