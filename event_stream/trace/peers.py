"""Asks the other services for their part of a trace. One that does not answer is said to be missing, never an error."""

import json
import ssl
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from rest_framework.exceptions import ValidationError

from event_stream import user_context
from event_stream.errors import EventStreamError
from event_stream.trace.parts import Change, Part, Span
from event_stream.trace.serializers import changes_from, part_from
from event_stream.trace.settings import Peer

_LARGEST_ANSWER = 4 * 1024 * 1024
_STATUSES = {
    401: "it accepts no token of this service; the peer's token_file should hold one that it does",
    403: "the token of this service does not have the role",
    404: "it has no traces: event_stream.trace is not installed there, or the peer's url is wrong",
}


class PeerError(EventStreamError):
    """A peer did not give a usable answer. The text goes on after "it can't be asked: "."""


class PeerClient:
    """For one trace, on one connection a peer. Use as a context manager."""

    def __init__(self, timeout_s: float) -> None:
        # This machine's authorities, or those that SSL_CERT_FILE and SSL_CERT_DIR name.
        authorities = ssl.create_default_context()
        self._http = httpx.Client(verify=authorities, timeout=timeout_s, trust_env=False, follow_redirects=False)

    def __enter__(self) -> "PeerClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def part(
        self,
        peer: Peer,
        correlation_id: str,
        *,
        spans: Sequence[Span] = (),
        versions: Iterable[tuple[str, int]] = (),
    ) -> Part:
        """Raises PeerError."""
        places = [f"{span.destination}:{span.partition}:{span.first}-{span.last}" for span in spans]
        parameters = [("span", place) for place in places]
        parameters += [("change", f"{key}:{version}") for key, version in versions]
        data = self._get(peer, f"/traces/{quote(correlation_id, safe='')}", parameters)
        try:
            return part_from(data)
        except ValidationError as error:
            raise PeerError(f"its answer is not understood: {error.detail}") from error

    def changes_of(self, peer: Peer, key: str, version: int | None) -> list[Change]:
        """Raises PeerError."""
        parameters = [("key", key)] + ([] if version is None else [("version", str(version))])
        data = self._get(peer, "/traces", parameters)
        try:
            return changes_from(data["changes"])
        except (ValidationError, KeyError, TypeError) as error:
            raise PeerError(f"its answer is not understood: {error}") from error

    def _get(self, peer: Peer, path: str, parameters: Sequence[tuple[str, str]]) -> Any:
        headers = {user_context.CORRELATION_ID: user_context.current_or_new().correlation_id}
        headers["Accept"] = "application/json"
        if peer.token_file is not None:
            headers[user_context.AUTHORIZATION] = f"Bearer {_token(peer.token_file)}"
        body = bytearray()
        try:
            with self._http.stream(
                "GET", f"{peer.url}{path}", params=httpx.QueryParams(tuple(parameters)), headers=headers
            ) as answer:
                if answer.status_code != 200:
                    raise PeerError(_STATUSES.get(answer.status_code, f"status {answer.status_code}"))
                for part in answer.iter_bytes():
                    body += part
                    if len(body) > _LARGEST_ANSWER:
                        raise PeerError(f"an answer of more than {_LARGEST_ANSWER} bytes")
                return json.loads(body)
        except httpx.TimeoutException as error:
            raise PeerError("no answer in time") from error
        except httpx.HTTPError as error:
            raise PeerError(f"the connection failed: {error}") from error
        except ValueError as error:
            raise PeerError("the answer is no JSON") from error


def _token(token_file: str) -> str:
    try:
        return Path(token_file).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PeerError(f"the token of this service can't be read: {error}") from error
