"""Header values that nobody means well with: made from a seed, so that a failure can be had again."""

from collections.abc import Iterator
from random import Random

# A value for each header that something here reads, for the others to be made of.
USUAL = {
    "tmx-correlation-id": "order-17",
    "tmx-user-id": "ann",
    "tmx-org-id": "acme",
    "tmx-organization-id": "acme",
    "Authorization": "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6ImZpcnN0In0.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl",
    "Accept": "application/json, text/html;q=0.5, application/hal+json",
    "Accept-Language": "ko-KR, en;q=0.5",
    "Accept-Encoding": "gzip, br",
    "Accept-Charset": "utf-8",
    "If-Match": '"1795461757985837-12"',
    "If-None-Match": 'W/"1795461757985837", "7"',
    "If-Modified-Since": "Wed, 25 Nov 2026 20:00:00 GMT",
    "Cache-Control": "no-cache, max-age=10, min-fresh=2",
    "Pragma": "no-cache",
    "Organization-Min-Version": "1795461757985837",
    "Content-Type": "application/json; charset=utf-8",
    "Content-Encoding": "gzip",
    "Cookie": "organization_session=abc; licensing_session=abc; organization_csrf=def; messages=x",
    "Host": "localhost:8072",
    "Origin": "https://example.org",
    "Referer": "https://example.org/admin/",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64)",
    "X-CSRFToken": "abcdefghijklmnopqrstuvwxyzABCDEF",
    "X-Requested-With": "XMLHttpRequest",
    "X-HTTP-Method-Override": "DELETE",
    "X-Forwarded-For": "198.51.100.7",
    "X-Forwarded-Host": "example.org",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Prefix": "/organization",
    "Forwarded": "for=198.51.100.7;proto=https",
    "Range": "bytes=0-10",
    "Expect": "100-continue",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}
_PIECES = (
    # To break out of a log line, a template, a string.
    *('", "level": "CRITICAL", "event": "forged', '"}', "\\", "\\u0000", "'", "${jndi:ldap://x}", "{{7*7}}", "%s%n%x"),
    # To end a line, to steer a terminal.
    *("\r\nX-Injected: yes", "\nSet-Cookie: a=b", "\r", "\x00", "\x1b[2J", "\x7f", "\x85", "\x9b", "\t", " ", ""),
    # UTF-8 as WSGI shows it, and what is no UTF-8.
    *(text.encode("utf-8", "surrogatepass").decode("latin-1") for text in ("é", "한", "\u2028", "\u202e", "\ud800")),
    *("é", "\xff\xfe", "\xf4\x90\x80\x80", "%0d%0a", "%00", "%ff"),
    *("..", "/../../", "//evil.example", "@", "#", "?", ";", ",", "=", ";q=", "*", "W/", "Bearer ", "Basic Og=="),
    # Encodings that Python knows, and that are none of text.
    *("; charset=base64", "; charset=undefined", "; charset=utf-7", "; charset=idna", "; charset*=utf-8''x"),
    # Numbers that are too much, and other things too many.
    *("-1", "-0", "1e400", "NaN", "Infinity", "null", "0" * 30, "9" * 400, "[" * 2000, "Bearer " * 50, "a" * 9000),
)


def _mutated(random: Random, usual: str) -> str:
    """Something near to a good value, which gets further than noise."""
    at = random.randrange(len(usual) + 1)
    until = min(len(usual), at + random.randrange(4))
    return usual[:at] + random.choice(_PIECES) + usual[until:]


def _noise(random: Random, _usual: str) -> str:
    return "".join(map(chr, random.choices(range(256), k=random.randrange(40))))


def _pieces(random: Random, _usual: str) -> str:
    return "".join(random.choices(_PIECES, k=random.randrange(1, 4)))


def _of_another(random: Random, _usual: str) -> str:
    return random.choice(tuple(USUAL.values()))


def requests(seed: int, values: int, *, a_request: int = 8) -> Iterator[dict[str, str]]:
    """Sets of headers with so many values altogether, `a_request` each. Values are latin-1, as WSGI has them."""
    random = Random(seed)
    # A bad `Host` ends a request at once, and nothing of its other headers would be looked at.
    names = [name for name in USUAL if name != "Host"]
    for number in range(values // a_request):
        chosen = random.sample(names, a_request - (number % 10 == 0)) + ["Host"] * (number % 10 == 0)
        yield {
            name: random.choice((_mutated, _mutated, _mutated, _noise, _pieces, _of_another))(random, USUAL[name])
            for name in chosen
        }
