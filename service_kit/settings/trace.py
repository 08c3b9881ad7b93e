"""The part of EVENT_STREAM_TRACE that differs between installations, from environment variables."""

from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from service_kit.settings.environment import flag, number, path, texts

_PEERS = "names with URLs between commas, such as licensing=http://licensing:8080"


def environment() -> dict[str, Any]:
    """TRACE_RECORD, TRACE_RETENTION_DAYS, TRACE_PEERS and TRACE_TOKEN_FILE. Raises ImproperlyConfigured."""
    token_file = path("TRACE_TOKEN_FILE", "the path of a file with the token to ask other services with")
    peers = {}
    for entry in texts("TRACE_PEERS", _PEERS, default=[]):
        name, _, url = entry.partition("=")
        if not name or urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise ImproperlyConfigured(f"TRACE_PEERS should be {_PEERS}, not {entry}.")
        peers[name] = {"url": url, **({"token_file": str(token_file)} if token_file else {})}
    return {
        "record": flag("TRACE_RECORD", default=True),
        "retention_days": number("TRACE_RETENTION_DAYS", 7, "days"),
        "peers": peers,
    }
