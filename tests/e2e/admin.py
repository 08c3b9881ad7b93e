"""A person in the Django admin, without a browser: pages are fetched, their forms filled in and sent."""

from collections.abc import Mapping
from html.parser import HTMLParser
from types import TracebackType
from typing import Self

import httpx

from event_stream.user_context import CORRELATION_ID

USER, PASSWORD = "admin", "only-for-tests-7391"
ADMIN = {
    "DJANGO_SUPERUSER_USERNAME": USER,
    "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
    "DJANGO_SUPERUSER_EMAIL": "admin@example.org",
}
"""For `ServiceCluster.prepare`."""

_NOT_SENT = {"submit", "button", "checkbox", "file"}
Fields = Mapping[str, str | list[str]]


class Admin:
    """A session in the admin of the service at `url`."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=f"{url}/admin", timeout=20, follow_redirects=True)

    def __enter__(self) -> Self:
        answer = self.submit(self._http.get("/login/"), {"username": USER, "password": PASSWORD})
        assert "logout" in answer.text, "the login was refused"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str) -> httpx.Response:
        answer = self._http.get(path)
        assert answer.status_code == 200, answer.text
        return answer

    def submit(self, page: httpx.Response, values: Fields, *, correlation_id: str | None = None) -> httpx.Response:
        """Send the page's last form, which in the admin is the one of its content, with these values changed.

        Returns the page that the redirect leads to. Its `history` begins with the answer to the form itself.
        """
        form = _LastForm()
        form.feed(page.text)
        headers = {} if correlation_id is None else {CORRELATION_ID: correlation_id}
        answer = self._http.post(page.url, data={**form.fields, **values}, headers=headers)
        assert answer.status_code == 200, answer.text
        assert "errornote" not in answer.text, answer.text
        return answer


class _LastForm(HTMLParser):
    """The inputs of the last form of a page, as they would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str | list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        name = attributes.get("name")
        if tag == "form":
            self.fields = {}
        elif tag == "input" and name and attributes.get("type") not in _NOT_SENT:
            there = self.fields.get(name, [])
            self.fields[name] = [*there, attributes.get("value") or ""]
