"""The confirmation pages of the admin, sent back as a browser does."""

from html.parser import HTMLParser
from typing import Any

from django.test import Client


class Form(HTMLParser):
    """The hidden fields and the button of a page's last form."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, list[str]] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "form":
            self.fields = {}
        if tag == "input" and values.get("type") in {"hidden", "submit"} and values.get("name"):
            self.fields.setdefault(str(values["name"]), []).append(values["value"] or "")


def confirm(client: Client, url: str, page: Any, **filled_in: str) -> Any:
    """The answer, and where it leads; `filled_in` is what a person writes into the form."""
    return client.post(url, {**Form(page.content.decode()).fields, **filled_in}, follow=True)


def select_all(client: Client, url: str, action: str, ticked: list[str]) -> Any:
    """What the list sends when "select all" was clicked; `ticked` are the rows of its page."""
    data = {"action": action, "_selected_action": ticked, "select_across": "1", "index": "0"}
    return client.post(url, data)


def said(page: Any) -> list[str]:
    """The messages of a page."""
    return [str(message) for message in page.context["messages"]]
