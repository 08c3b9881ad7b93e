"""What of an organization is merged into a license, and how it is kept: as the bytes that go on the wire."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

FIELDS = {
    "organizationName": "name",
    "contactName": "contactName",
    "contactEmail": "contactEmail",
    "contactPhone": "contactPhone",
}
"""The license's members, and what the organization service calls each of them."""

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def members(organization: Mapping[str, Any]) -> bytes:
    """`"organizationName":"…","contactName":"…",…` in UTF-8: a JSON object's members without its braces."""
    return _COMPACT({member: organization.get(field) for member, field in FIELDS.items()})[1:-1].encode()


NULL_FIELDS = members({})
"""The same with null for each: the organization doesn't exist, or nothing is known of it now."""


class _EveryField(Mapping[str, str]):
    """A sample organization that has whatever field it is asked for, with text that an encoder may treat specially."""

    def __getitem__(self, field: str) -> str:
        return f'{field}: Ünï\u2028cödé 모든 "quoted" \\ </tag>\n'

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


SAMPLE: Mapping[str, str] = _EveryField()


def representation() -> bytes:
    """The name of the shape of `members`, for the cache: it follows from what that function makes of a sample.

    So it changes with every field that is added, dropped, renamed or encoded differently, and nobody has to remember
    to change it.
    """
    return fingerprint(members(SAMPLE), members({}))


def fingerprint(*encoded: bytes) -> bytes:
    """A short name for the shape of these samples."""
    return hashlib.sha256(b"\0".join(encoded)).hexdigest()[:12].encode()


def fields(spliceable: bytes | None) -> dict[str, str | None]:
    """The members as a dictionary, for the answers that are not render_fast."""
    found: dict[str, str | None] = json.loads(b"{%b}" % (spliceable or NULL_FIELDS))
    return found
