"""What of an organization is merged into a license, and how it is kept: as the bytes that go on the wire."""

import json
from collections.abc import Mapping
from typing import Any

FIELDS = ("name", "contactName", "contactEmail", "contactPhone")

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def members(organization: Mapping[str, Any]) -> bytes:
    """`"name":"…","contactName":"…",…` in UTF-8: a JSON object's members without its braces."""
    return _COMPACT({field: organization.get(field) for field in FIELDS})[1:-1].encode()


NULL_FIELDS = members({})
"""The same with null for each: the organization doesn't exist, or nothing is known of it now."""


def fields(spliceable: bytes | None) -> dict[str, str | None]:
    """The members as a dictionary, for the answers that are not render_fast."""
    found: dict[str, str | None] = json.loads(b"{%b}" % (spliceable or NULL_FIELDS))
    return found
