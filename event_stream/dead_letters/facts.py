"""What a person is shown of a dead letter."""

from datetime import UTC, datetime
from typing import Any

from event_stream.dead_letters.journal import OpenLetter
from event_stream.dead_letters.selection import shown_key


def facts(each: OpenLetter) -> dict[str, Any]:
    """By name, in the order of interest: texts, numbers, None, and the headers as a dict of texts."""
    letter = each.letter
    body = None if letter.value is None else letter.value.decode(errors="backslashreplace")
    return {
        "id": str(letter.origin),
        "key": None if letter.key is None else shown_key(letter.key),
        "from": f"{letter.destination}[{letter.origin.partition}] at offset {letter.origin.offset}",
        "group": letter.group,
        "sent_at": shown_time(letter.origin.timestamp_ms),
        "parked_at": shown_time(letter.parked_at_ms),
        "attempts": letter.attempts,
        "error": letter.error,
        "reason": letter.reason,
        "headers": {name: value.decode(errors="backslashreplace") for name, value in letter.headers},
        "body": "(too large to be parked)" if letter.omitted else body,
        "traceback": letter.traceback,
    }


def shown_time(at_ms: int) -> str:
    """In ISO 8601, of milliseconds since the epoch, which a foreign producer may have made up."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"
