"""The part of EVENT_STREAM_TRACE that differs between installations, from environment variables."""

from typing import Any

from service_kit.settings.environment import flag, named_urls, number, path

_PEERS = "names with URLs between commas, such as licensing=http://licensing:8080"


def environment() -> dict[str, Any]:
    """TRACE_RECORD, TRACE_RETENTION_DAYS, TRACE_PEERS and TRACE_TOKEN_FILE. Raises ImproperlyConfigured."""
    token_file = path("TRACE_TOKEN_FILE", "the path of a file with the token to ask other services with")
    token = {"token_file": str(token_file)} if token_file else {}
    peers = {name: {"url": url, **token} for name, url in named_urls("TRACE_PEERS", _PEERS).items()}
    return {
        "record": flag("TRACE_RECORD", default=True),
        "retention_days": number("TRACE_RETENTION_DAYS", 7, "days", minimum=0.01, maximum=3650),
        "peers": peers,
    }
