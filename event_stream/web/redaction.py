"""What a log line must not tell: credentials, and how to reach the people whose data it is about."""

import re
from collections.abc import Callable

REDACTED = "[redacted]"

SECRET_NAMES = frozenset(
    {
        *("authorization", "proxy_authorization", "cookie", "set_cookie", "password", "secret", "token"),
        *("contact_name", "contact_email", "contact_phone", "contactname", "contactemail", "contactphone"),
        *("email", "phone"),
    }
)
"""Names of values, in lower case with underscores, of which nothing is shown."""

# Inside of a JSON string: none of these may run on past its end.
_TEXT = r'(?:[^"\\\n]|\\.)*'


def _credentials(found: re.Match[str]) -> str:
    return f"{found[1]} {REDACTED}" if found[1] else f"{found[2]}:{REDACTED}@"


_PATTERNS: tuple[tuple[tuple[str, ...], re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (
        ("earer ", "EARER ", "asic ", "ASIC ", "://"),
        re.compile(r"\b([Bb]earer|[Bb]asic|BEARER|BASIC) +[A-Za-z0-9._~+/=-]{8,}|(?<=://)([^\s:/@]*):[^\s/@]+@"),
        _credentials,
    ),
    (
        ("_session=", "_csrf="),
        re.compile(r"\b(\w+_(?:session|csrf))=[^\s;,\"\\]+"),
        lambda found: f"{found[1]}={REDACTED}",
    ),
    (
        # PostgreSQL says what it refused, value by value.
        ("Failing row", "Key ("),
        re.compile(rf"(Failing row contains |Key \([\w, ]+\)=)\({_TEXT}\)"),
        lambda found: f"{found[1]}({REDACTED})",
    ),
    (
        ("ontact",),
        # Up to the same quote, however often it is escaped, and in any case to the end of the string around it all.
        re.compile(
            r"""(contact_?(?:name|email|phone)(?:\\*["'])?\s*[:=]\s*(\\*["']))(?:(?!\2)(?:[^"\\\n]|\\.))*""",
            re.IGNORECASE,
        ),
        lambda found: f"{found[1]}{REDACTED}",
    ),
    (("@",), re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+"), lambda _found: REDACTED),
    # With its plus: what has none may be any number.
    (("+",), re.compile(r"\+\d[\d ()-]{5,}\d"), lambda _found: REDACTED),
)
"""Texts of which one is there if the pattern can be, the pattern, and what stands in its place."""


def redacted(line: str) -> str:
    """The line without them; a line that was JSON still is."""
    for telltales, pattern, replacement in _PATTERNS:
        # Looking for a pattern takes microseconds a line, for a text next to nothing.
        if any(telltale in line for telltale in telltales):
            line = pattern.sub(replacement, line)
    return line
