"""A page in a real browser, for the tests of this folder. SCREENSHOTS names a folder to keep pictures in."""

import os
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Page, Request, Response, expect

from tests.e2e.admin import PASSWORD, USER

_MOST_TABS = 150
_FOCUSED = """() => {
  const focused = document.activeElement, style = getComputedStyle(focused), box = focused.getBoundingClientRect();
  const named = focused.getAttribute("aria-label") ?? focused.labels?.[0]?.innerText ?? focused.innerText ?? "";
  return {
    name: named.trim() || focused.value || "",
    visible: box.width > 0 && (style.outlineStyle !== "none" || style.boxShadow !== "none" || focused === document.body)
  };
}"""


class Console:
    """A page, and whatever went wrong on it behind the user's back."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._response)

    def open(self, url: str) -> Page:
        self.page.goto(url, wait_until="networkidle")
        return self.page

    def log_in(self, admin_url: str) -> None:
        self.open(admin_url)
        self.page.get_by_label("Username").fill(USER)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.get_by_role("button", name="Log out")).to_be_visible()

    def tab_to(self, name: str) -> None:
        """To the link, button or field with this name, by the keyboard alone; wherever the focus is, it is visible."""
        for _ in range(_MOST_TABS):
            self.page.keyboard.press("Tab")
            focused = self.page.evaluate(_FOCUSED)
            assert focused["visible"], f"nobody sees that {focused['name']!r} has the focus"
            if focused["name"].startswith(name):
                return
        raise AssertionError(f"{name!r} can't be reached by the keyboard")

    def settle(self) -> None:
        """Until the page has all that it names: that the network is idle is not told reliably."""
        self.page.wait_for_load_state("load")

    def keep(self, name: str) -> None:
        """A picture of the whole page."""
        if folder := os.environ.get("SCREENSHOTS"):
            self.settle()
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"console: {message.text}")

    def _failed(self, request: Request) -> None:
        # Aborted is what was under way when the user went on to another page.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"no answer: {request.url} ({request.failure})")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")
