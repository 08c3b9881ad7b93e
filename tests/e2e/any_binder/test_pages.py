"""The pages that people use, in a real browser. SCREENSHOTS names a folder to keep pictures of them in."""

import json
import re

import pytest
from playwright.sync_api import expect

from devstack.waiting import wait_until
from tests.e2e.admin import PASSWORD, USER
from tests.e2e.each_binder.test_foreign_producers import Foreigner
from tests.e2e.screen import Console
from tests.e2e.world import DEADLINE_S, LICENSE, ORGANIZATION, Customer, World, fresh


@pytest.fixture
def customer(world: World) -> Customer:
    return world.customer()


def test_edit_an_organization_in_the_admin(world: World, screen: Console, customer: Customer) -> None:
    world.cached(customer)
    contact = f"Ada {fresh('contact')[-6:]}"
    page = screen.page
    screen.log_in(f"{world.platform.organization_url}/admin/")
    screen.keep("organization-admin")
    page.get_by_role("link", name="Organizations", exact=True).last.click()
    screen.keep("organization-list")
    page.locator("#searchbar").fill(customer.id)
    page.get_by_role("button", name="Search").click()
    page.locator("#result_list").get_by_role("link", name=ORGANIZATION["name"]).click()
    page.get_by_label("Contact name").fill(contact)
    watch = world.watch_workers()

    page.get_by_role("button", name="Save and continue editing").click()

    expect(page.get_by_text("was changed successfully")).to_be_visible()
    event = world.published(customer.id)
    watch.eviction(customer.id, event.correlation_id)
    assert {each.contact for each in world.lookups(customer)} == {contact}
    page.reload()
    row = page.get_by_role("row").filter(has_text=event.correlation_id)
    expect(row).to_contain_text(f"published: partition {event.partition}, offset {event.offset}")
    screen.keep("organization-form")
    row.get_by_role("link").click()
    expect(page.locator(".trace-verdict")).to_have_text("complete")
    outbox = f"{world.platform.organization_url}/admin/event_stream_outbox/outboxentry/"
    screen.open(f"{outbox}?q={event.correlation_id}")
    expect(page.get_by_text("1 outbox entry")).to_be_visible()
    screen.keep("outbox-of-a-transaction")
    page.get_by_role("row").filter(has_text=customer.id).get_by_role("link").click()
    expect(page.get_by_text("UPDATED")).to_be_visible()
    screen.keep("outbox-entry")


def test_change_several_organizations_at_once(world: World, screen: Console, customer: Customer) -> None:
    contact = f"Grace {fresh('contact')[-6:]}"
    page = screen.page
    screen.log_in(f"{world.platform.organization_url}/admin/")
    screen.open(f"{world.platform.organization_url}/admin/organizations/organization/?q={customer.id}")
    page.locator("input.action-select").check()
    page.locator("select[name=action]").select_option("Set the contact of selected organizations")
    page.get_by_role("button", name=re.compile("^(Go|Run)$")).click()
    page.get_by_label("Contact name").fill(contact)
    screen.keep("organization-set-contact")

    page.get_by_role("button", name="Change").click()

    expect(page.get_by_text("1 organization was changed.")).to_be_visible()
    screen.keep("organization-list-changed")
    assert world.organization("GET", customer.path, status=200).json()["contactName"] == contact


def test_a_form_that_is_not_valid_says_so(world: World, screen: Console, customer: Customer) -> None:
    page = screen.page
    screen.log_in(f"{world.platform.organization_url}/admin/")
    screen.open(f"{world.platform.organization_url}/admin/organizations/organization/{customer.id}/change/")
    page.get_by_label("Contact phone").fill("call me")

    page.get_by_role("button", name="Save", exact=True).click()

    expect(page.get_by_text("Enter a phone number of 3 to 15 digits")).to_be_visible()
    screen.keep("organization-form-refused")


def test_licenses_in_the_admin(world: World, screen: Console, customer: Customer) -> None:
    page = screen.page
    screen.log_in(f"{world.platform.licensing_urls[0]}/admin/")
    screen.keep("license-admin")
    screen.open(f"{world.platform.licensing_urls[0]}/admin/licenses/license/?q={customer.id}")
    screen.keep("license-list")
    page.locator("#result_list").get_by_role("link", name=LICENSE["productName"]).click()
    page.get_by_label("Comment").fill("seen in the admin")
    screen.keep("license-form")

    page.get_by_role("button", name="Save and continue editing").click()

    expect(page.get_by_text("was changed successfully")).to_be_visible()
    assert world.ask(customer, 0).json()["comment"] == "seen in the admin"


def test_dead_letters_in_the_admin(world: World, screen: Console, customer: Customer) -> None:
    poison = fresh("no-message")
    watch = world.watch_workers()
    foreigner = Foreigner(world)
    for number in range(2):
        foreigner.send(f"{{ {poison} {number}".encode(), key=customer.id.encode(), headers=[("h", b"\xfe")])
    foreigner.close()
    assert wait_until(lambda: len(watch.seen("dead_letter.parked")) >= 2, within_s=DEADLINE_S)
    page = screen.page
    screen.log_in(f"{world.platform.licensing_urls[0]}/admin/")
    page.get_by_role("link", name="Dead letters", exact=True).last.click()
    page.locator("#searchbar").fill(f"{customer.id} ConversionError")
    page.get_by_role("button", name="Search").click()
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(2)
    screen.keep("dead-letter-list")
    rows.first.get_by_role("link").click()
    expect(page.get_by_text(poison)).to_be_visible()
    expect(page.get_by_text("Traceback (most recent call last)")).to_be_visible()
    screen.keep("dead-letter")

    page.get_by_role("button", name="Replay").click()

    expect(page.get_by_role("heading", name="Replay 1 dead letter?")).to_be_visible()
    screen.keep("dead-letter-replay")
    again = world.watch_workers()
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_text("1 dead letter was replayed.")).to_be_visible()
    screen.keep("dead-letter-replayed")
    # It is no better than it was, and comes back.
    assert wait_until(lambda: bool(again.seen("dead_letter.parked")), within_s=DEADLINE_S)
    screen.open(f"{world.platform.licensing_urls[0]}/admin/event_stream_dead_letters/deadletter/?q={customer.id}")
    expect(rows).to_have_count(2)
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option("Discard selected dead letters")
    page.get_by_role("button", name=re.compile("^(Go|Run)$")).click()
    screen.keep("dead-letter-discard")

    page.get_by_role("button", name="Discard").click()

    expect(page.get_by_text("2 dead letters were discarded.")).to_be_visible()
    page.get_by_role("link", name="replayed or discarded").click()
    expect(page).to_have_url(re.compile("state="))
    page.locator("#searchbar").fill(customer.id)
    page.get_by_role("button", name="Search").click()
    expect(rows).to_have_count(2)
    screen.keep("dead-letter-settled")


def test_the_organizations_browsable_api(world: World, screen: Console, customer: Customer) -> None:
    screen.log_in(f"{world.platform.organization_url}/admin/")
    page = screen.open(f"{world.platform.organization_url}/v1/organization")
    expect(page.get_by_role("heading", name="Organizations")).to_be_visible()
    screen.keep("organization-api-list")
    screen.open(world.platform.organization_url + customer.path)
    expect(page.get_by_text(ORGANIZATION["contactEmail"]).first).to_be_visible()
    contact = fresh("contact")
    page.locator("input[name=contactName]").fill(contact)

    page.get_by_role("button", name="PUT").click()

    expect(page.locator(".request-info")).to_contain_text("PUT")
    expect(page.locator(".response-info")).to_contain_text("HTTP 200 OK")
    screen.keep("organization-api")
    assert world.organization("GET", customer.path, status=200).json()["contactName"] == contact


@pytest.mark.parametrize("service", ["organization", "licensing"])
def test_an_edit_is_conditional_on_the_version_that_the_page_shows(
    world: World, screen: Console, customer: Customer, service: str
) -> None:
    base, path, field = {
        "organization": (world.platform.organization_url, customer.path, "contactName"),
        "licensing": (world.platform.licensing_urls[0], customer.license, "comment"),
    }[service]
    screen.log_in(f"{base}/admin/")
    page = screen.open(base + path)
    theirs, mine = fresh("theirs"), fresh("mine")
    assert world.http.patch(base + path, json={field: theirs}).status_code == 200
    page.locator(f"[name={field}]").fill(mine)

    for _ in range(2):
        # The page for the refusal is no better founded than the one before.
        with page.expect_response(lambda answer: answer.request.method == "PUT"):
            page.get_by_role("button", name="PUT").first.click()
        expect(page.locator(".response-info")).to_contain_text("HTTP 412 Precondition Failed")
        expect(page.locator(f"[name={field}]")).to_have_value(mine)
    assert world.http.get(base + path).json()[field] == theirs

    page.get_by_role("link", name="GET").click()
    expect(page.locator(f"[name={field}]")).to_have_value(theirs)
    page.locator(f"[name={field}]").fill(mine)
    page.get_by_role("button", name="PUT").first.click()
    expect(page.locator(".request-info")).to_contain_text("PUT")
    expect(page.locator(".response-info")).to_contain_text("HTTP 200 OK")
    assert world.http.get(base + path).json()[field] == mine
    screen.complaints[:] = [complaint for complaint in screen.complaints if "412" not in complaint]


def test_the_licenses_browsable_api(world: World, screen: Console, customer: Customer) -> None:
    licenses = world.platform.licensing_urls[0] + customer.license.rpartition("/")[0]
    screen.log_in(f"{world.platform.licensing_urls[0]}/admin/")
    page = screen.open(licenses)
    page.locator("input[name=productName]").fill("Ostock Mobile")
    page.locator("input[name=licenseType]").fill("per-seat")

    page.get_by_role("button", name="POST").click()

    expect(page.get_by_text("HTTP 201 Created")).to_be_visible()
    screen.keep("license-api-created")
    screen.open(licenses)
    expect(page.get_by_text("Ostock Mobile")).to_be_visible()
    screen.keep("license-api-list")
    screen.open(world.platform.licensing_urls[0] + customer.license)
    expect(page.get_by_text(ORGANIZATION["contactEmail"]).first).to_be_visible()
    screen.keep("license-api")


_FETCH_JSON = """async url => {
    const answer = await fetch(url, {headers: {Accept: "application/json"}});
    return [answer.headers.get("Content-Type"), await answer.text()];
}"""


@pytest.mark.parametrize("service", ["organization", "licensing"])
def test_a_browser_keeps_page_and_json_of_a_url_apart(
    world: World, screen: Console, customer: Customer, service: str
) -> None:
    base, path = {
        "organization": (world.platform.organization_url, customer.path),
        "licensing": (world.platform.licensing_urls[0], customer.license),
    }[service]
    screen.log_in(f"{base}/admin/")
    page = screen.open(base + path)
    for _ in range(2):
        kind, text = page.evaluate(_FETCH_JSON, base + path)
        assert kind == "application/json"
        assert json.loads(text)["contactEmail"] == ORGANIZATION["contactEmail"]
        answer = page.goto(base + path)
        assert answer is not None
        assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    # Another login, as of another person: the page has its form, which is accepted.
    screen.page.context.clear_cookies()
    screen.log_in(f"{base}/admin/")
    screen.open(base + path)
    page.get_by_role("button", name="PUT").click()
    expect(page.get_by_text("HTTP 200 OK")).to_be_visible()


@pytest.mark.parametrize("service", ["organization", "licensing"])
def test_a_page_that_needs_a_login_leads_to_it_and_back(
    world: World, screen: Console, customer: Customer, service: str
) -> None:
    url = {
        "organization": world.platform.organization_url + customer.path,
        "licensing": world.platform.licensing_urls[0] + customer.license,
    }[service]
    page = screen.open(url)
    expect(page.get_by_text("HTTP 401 Unauthorized")).to_be_visible()
    screen.keep(f"{service}-api-unauthorized")
    assert [complaint for complaint in screen.complaints if "401" not in complaint] == []
    screen.complaints.clear()

    page.get_by_role("link", name="Log in").click()
    page.get_by_label("Username").fill(USER)
    page.get_by_label("Password").fill(PASSWORD)
    screen.keep(f"{service}-api-login")
    page.get_by_role("button", name="Log in").click()

    expect(page.get_by_text("HTTP 200 OK")).to_be_visible()
    expect(page.get_by_text(ORGANIZATION["contactEmail"]).first).to_be_visible()
    screen.keep(f"{service}-api-logged-in")
    expect(page.get_by_role("button", name="DELETE")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("HTTP 401 Unauthorized")).to_be_visible()
    screen.complaints.clear()


@pytest.mark.parametrize("service", ["organization", "licensing"])
def test_the_documentation(world: World, screen: Console, customer: Customer, service: str) -> None:
    urls = {"organization": world.platform.organization_url, "licensing": world.platform.licensing_urls[0]}

    page = screen.open(f"{urls[service]}/docs")

    expect(page.get_by_role("heading", name=f"{service.capitalize()} service")).to_be_visible()
    screen.keep(f"{service}-docs")
    page.get_by_role("button", name="Authorize", exact=True).click()
    bearer = page.locator(".auth-container").filter(has=page.locator("#auth-bearer-value"))
    bearer.locator("#auth-bearer-value").fill(world.platform.authorization()["Authorization"].removeprefix("Bearer "))
    bearer.locator("button.authorize").click()
    page.locator("button.close-modal").click()
    page.locator(".opblock-get").last.click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_placeholder("organizationId").fill(customer.id)
    if service == "licensing":
        page.get_by_placeholder("licenseId").fill(customer.license.rpartition("/")[2])
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table .response .response-col_status")).to_contain_text("200")
    screen.keep(f"{service}-docs-tried")


@pytest.mark.parametrize("screen", ["ko-KR"], indirect=True)
def test_a_korean_reader_is_answered_in_korean(world: World, screen: Console, customer: Customer) -> None:
    page = screen.open(f"{world.platform.licensing_urls[0]}/admin/")

    expect(page.locator("html")).to_have_attribute("lang", "ko")
    screen.keep("license-admin-korean")
