"""UUIDs as they come in: every spelling of one is the same UUID, and nothing else is one."""

import re
from uuid import UUID

_HEX = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# The standard library's own reader takes more: it passes over hyphens, braces and `urn:` wherever they are.
_SPELLING = re.compile(rf"{_HEX}|\{{{_HEX}\}}|urn:uuid:{_HEX}|[0-9a-f]{{32}}", re.IGNORECASE | re.ASCII)
_CANONICAL = re.compile(_HEX)


def canonical_uuid(text: str) -> str:
    """Return `str(parse_uuid(text))`, which a text in that form already is."""
    return text if _CANONICAL.fullmatch(text) else str(parse_uuid(text))


def parse_uuid(text: str) -> UUID:
    """Read a UUID in either case, also in braces, as a URN, or without hyphens. Raises ValueError for other text.

    `str` of the result is the form in which ids are compared, stored and sent.
    """
    if not _SPELLING.fullmatch(text):
        raise ValueError(f"{text!r:.80} is not a UUID")
    # It knows `urn:` in lower case only.
    return UUID(text.lower())
