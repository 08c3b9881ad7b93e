"""A model of the book's licensing service as a consumer: Spring Cloud Stream 3 on spring-kafka 2.3.5.

What it makes of a message was tried message by message on the real one; `TRIED` is the table of that.
"""

import json
from collections.abc import Sequence
from enum import Enum

Headers = Sequence[tuple[str, bytes]]

_TYPES = "spring_json_header_types"
_STRING = "java.lang.String"


class Outcome(Enum):
    EVICTED = "evicted"
    """By the one that was tried: the book's handler logs, so it was patched to evict where it acts."""
    LOGGED = "a creation: logged, nothing evicted, for it keeps no absence"
    PASSED_OVER = "passed over in silence"
    UNKNOWN = 'error line "UNKNOWN event", nothing evicted'
    DROPPED = "error, retried for 3 s, dropped"


def outcome(value: bytes | None, headers: Headers) -> Outcome:
    if value is None or not _has_readable_content_type(dict(headers)):
        return Outcome.DROPPED
    body = json.loads(value)
    match body["action"]:
        case "UPDATE" | "DELETE":
            return Outcome.EVICTED
        case "SAVE":
            return Outcome.LOGGED
        case "GET":
            return Outcome.PASSED_OVER
        case _:
            return Outcome.UNKNOWN


def _has_readable_content_type(headers: dict[str, bytes]) -> bool:
    """Without one it takes JSON. One that its types do not name stays bytes, and it knows no such content type."""
    if "contentType" not in headers:
        return True
    if json.loads(headers.get(_TYPES, b"{}")).get("contentType") != _STRING:
        return False
    return bool(json.loads(headers["contentType"]) == "application/json")


def _body(action: str, **more: object) -> bytes:
    four = {
        "type": "t",
        "action": action,
        "organizationId": "1bcb5aa0-69a5-478e-9064-aca2d67601a6",
        "correlationId": "c",
    }
    return json.dumps({**four, **more}).encode()


_HEARTBEAT = json.dumps({"type": "t", "action": "GET", "correlationId": ""}).encode()
_QUOTED = ("contentType", b'"application/json"')
_PLAIN = ("contentType", b"application/json")
_NAMED = (_TYPES, b'{"contentType":"java.lang.String"}')
_EXTENDED = _body("UPDATE", version=7, eventId="e")

TRIED: list[tuple[bytes | None, Headers, Outcome]] = [
    (_EXTENDED, [_QUOTED, _NAMED, ("further", b"1")], Outcome.EVICTED),
    (_EXTENDED, [], Outcome.EVICTED),
    (_EXTENDED, [_QUOTED], Outcome.DROPPED),
    (_EXTENDED, [_PLAIN], Outcome.DROPPED),
    (_body("DELETE"), [_QUOTED, _NAMED], Outcome.EVICTED),
    (_body("SAVE"), [_QUOTED, _NAMED], Outcome.LOGGED),
    (_body("UPDATED"), [_QUOTED, _NAMED], Outcome.UNKNOWN),
    (_HEARTBEAT, [_QUOTED, _NAMED], Outcome.PASSED_OVER),
    (_HEARTBEAT, [], Outcome.PASSED_OVER),
    (_body("ARCHIVED"), [_QUOTED, _NAMED], Outcome.UNKNOWN),
    (None, [_QUOTED, _NAMED], Outcome.DROPPED),
]
