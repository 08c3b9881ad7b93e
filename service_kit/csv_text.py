"""CSV that a spreadsheet opens as text: what it would take for a formula is escaped, and read back as it was.

A cell that begins with `=`, `+`, `-`, `@`, a tab, a line end or a full-width form of these gets an apostrophe in
front, as OWASP recommends against CSV injection; so does one that begins with apostrophes before such a character.
Reading takes exactly that apostrophe away: an export that is imported again changes nothing.
"""

import csv
import re
from collections.abc import Iterable
from typing import Any, Protocol

_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_ESCAPED_FORMULA = re.compile(r"'+[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


class Writable(Protocol):
    def write(self, text: str, /) -> object: ...


def escape_formula(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def unescape_formula(text: str) -> str:
    """Return what `escape_formula` was given."""
    return text[1:] if _ESCAPED_FORMULA.match(text) else text


def write_csv(stream: Writable, rows: Iterable[Iterable[Any]]) -> None:
    """Write rows as CSV (RFC 4180) with formulas escaped."""
    csv.writer(stream).writerows([escape_formula(str(cell)) for cell in row] for row in rows)
