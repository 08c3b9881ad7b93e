"""One HTTP call to the organization service: GET one organization, on pooled connections, bounded in time and size."""

import json
import re
import ssl
from pathlib import Path
from typing import Any, ClassVar

import httpx

from event_stream import user_context
from event_stream.clock import Clock
from event_stream.fenced_cache import Fetched, FetchFailed
from event_stream.user_context import AUTHORIZATION
from organization_lookup import organization
from organization_lookup.handlers import canonical_id

_LARGEST_ANSWER = 64 * 1024
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_VERSION = re.compile(r"\d{1,18}", re.ASCII)
UNVERSIONED = 0
"""The version in the cache of every organization whose service gives none."""
_PASSING_STATUSES = frozenset({429, 502, 503, 504})


# What can go wrong when the organization service is asked.
#
# FetchFailed (event_stream.fenced_cache: a value already known may be served in its place)
# └── OrganizationLookupError
#     ├── UpstreamError          it can't be reached, is too slow, answers 5xx, or what no organization service would
#     │   └── TransientUpstreamError  of these, the ones that may be gone with another attempt
#     ├── ServiceTokenError      this service's own token can't be read, or is refused: nobody else is concerned
#     ├── CircuitOpen            it has failed too often lately, and is left alone for a while
#     └── BulkheadFull           as many calls as allowed are under way, and none ended within the budget
# UpstreamAuthError              it answers, but not this caller: 401 or 403, handed on to the caller


class OrganizationLookupError(FetchFailed):
    """The organization can't be asked for now. Each kind names its cause."""

    cause: ClassVar[str] = "organization-service-unavailable"
    """In the log, and the last segment of the problem's type."""


class UpstreamError(OrganizationLookupError):
    """The organization service did not give a usable answer. Counted by the circuit."""


class TransientUpstreamError(UpstreamError):
    """May be gone with the next attempt: a broken connection, a 502."""


class ServiceTokenError(OrganizationLookupError):
    """Says nothing of the organization service: callers with tokens of their own are answered, so no circuit opens."""

    cause = "service-token-fault"
    authorization = None
    """What the caller had sent."""


class CircuitOpen(OrganizationLookupError):  # noqa: N818 - what happened, as its siblings
    """Not asked at all."""

    cause = "organization-service-circuit-open"


class BulkheadFull(OrganizationLookupError):  # noqa: N818 - what happened, as its siblings
    """Not asked, because no place was free."""

    cause = "organization-service-busy"


CAUSES = tuple(each.cause for each in (UpstreamError, CircuitOpen, BulkheadFull, ServiceTokenError))


class UpstreamAuthError(Exception):
    """The caller who sent `authorization` is not let in. `challenge` is the answer's WWW-Authenticate."""

    def __init__(self, status: int, authorization: str | None, challenge: str | None) -> None:
        super().__init__(f"the organization service answered {status}")
        self.status = status
        self.authorization = authorization
        self.challenge = challenge


class OrganizationClient:
    """Safe to use from several threads; holds sockets, so make one per process, after the fork.

    `base_url` is what stands before `/v1/organization/{id}`; the timeouts are those of one call, in seconds. The
    caller's own credentials travel on; for a caller without any, the token in `token_file` does.

    `versioned` says whether each answer has to have an Organization-Version. Where not, as with the book's Java
    service, an answer of 200 without a body is an absence, and every organization has the version UNVERSIONED.
    """

    def __init__(
        self,
        base_url: str,
        *,
        connect_timeout_s: float,
        read_timeout_s: float,
        clock: Clock,
        token_file: Path | None = None,
        versioned: bool = True,
    ) -> None:
        self._base_url = base_url
        self._versioned = versioned
        self._token_file = token_file
        self.configure(connect_timeout_s=connect_timeout_s, read_timeout_s=read_timeout_s)
        self._clock = clock
        self._http = httpx.Client(
            # Proxies are for the way out of the house, and the environment may name some.
            trust_env=False,
            # This machine's authorities, or those that SSL_CERT_FILE and SSL_CERT_DIR name. Reading them costs the
            # first lookup 30 ms, for nothing where there is no TLS. No redirect is followed, so none can lead to where
            # they would be missed.
            verify=ssl.create_default_context() if base_url.startswith("https://") else False,
            follow_redirects=False,
            # As many as there are calls, whose number the resilient client bounds.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        )

    def configure(self, *, connect_timeout_s: float, read_timeout_s: float) -> None:
        """Have these limits for calls from now on. From any thread."""
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s

    def get(self, organization_id: str, budget_s: float) -> Fetched:
        """The organization's members with their version, or its absence. Takes no longer than `budget_s`.

        Raises UpstreamError, ServiceTokenError, UpstreamAuthError for a 401 or 403; a ValueError, before it asks, for
        an id that is none.
        """
        if not _ID.fullmatch(organization_id):
            # One segment of the path, whoever calls: not `..`, not another host.
            raise ValueError(f"{organization_id!r} is no organization's id")
        deadline = self._clock.monotonic_s() + min(budget_s, self._connect_timeout_s + self._read_timeout_s)
        timeout = httpx.Timeout(min(budget_s, self._read_timeout_s), connect=min(budget_s, self._connect_timeout_s))
        headers = {**user_context.current_or_new().http_headers(), "Accept": "application/json"}
        own_token = self._token_file is not None and AUTHORIZATION not in headers
        if own_token:
            headers[AUTHORIZATION] = self._authorization()
        url = f"{self._base_url}/v1/organization/{organization_id}"
        try:
            with self._http.stream("GET", url, headers=headers, timeout=timeout) as response:
                return self._read(organization_id, response, self._body(response, deadline))
        except UpstreamAuthError as refused:
            if own_token:
                # Not the caller's fault, nor anything that the caller could fix.
                raise ServiceTokenError(f"this service's own token was answered with {refused.status}") from refused
            raise
        except httpx.TimeoutException as error:
            raise UpstreamError(f"no answer in time ({type(error).__name__})") from error
        except httpx.TransportError as error:
            raise TransientUpstreamError(f"connection failed: {error}") from error
        except httpx.HTTPError as error:
            raise UpstreamError(f"unusable answer: {error}") from error

    def _authorization(self) -> str:
        assert self._token_file is not None
        try:
            token = self._token_file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ServiceTokenError(f"ORGANIZATION_TOKEN_FILE can't be read: {error}") from error
        return f"Bearer {token}"

    def close(self) -> None:
        self._http.close()

    def _body(self, response: httpx.Response, deadline: float) -> bytes:
        """httpx bounds each read: a body that trickles in, or never ends, is bounded here."""
        body = bytearray()
        for part in response.iter_bytes():
            body += part
            if len(body) > _LARGEST_ANSWER:
                raise UpstreamError(f"an answer of more than {_LARGEST_ANSWER} bytes")
            if self._clock.monotonic_s() > deadline:
                raise UpstreamError("no complete answer in time")
        return bytes(body)

    def _read(self, organization_id: str, response: httpx.Response, body: bytes) -> Fetched:
        status = response.status_code
        if status in {401, 403}:
            raise UpstreamAuthError(
                status, response.request.headers.get("Authorization"), response.headers.get("WWW-Authenticate")
            )
        if status in _PASSING_STATUSES:
            raise TransientUpstreamError(f"status {status}")
        if status not in {200, 404}:
            raise UpstreamError(f"status {status}")
        version = self._version(status, response.headers.get("Organization-Version", ""))
        if status == 404 or not (body or self._versioned):
            return Fetched(version, None)
        return Fetched(version, organization.members(_parse(organization_id, body)))

    def _version(self, status: int, header: str) -> int:
        if _VERSION.fullmatch(header):
            return int(header) if self._versioned else UNVERSIONED
        if status == 404:
            # Of some gateway's own, say: it knows nothing of the organization.
            raise UpstreamError("status 404 with no number in Organization-Version")
        if self._versioned:
            raise UpstreamError(
                f"status {status} with no number in Organization-Version: an organization service that has no versions "
                "needs ORGANIZATION_SERVICE_VERSIONS=none"
            )
        return UNVERSIONED


def _parse(organization_id: str, body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UpstreamError("the answer is no JSON") from error
    if not isinstance(answer, dict) or canonical_id(str(answer.get("id", ""))) != organization_id:
        raise UpstreamError("the answer is not the organization that was asked for")
    wrong = [name for name in organization.FIELDS.values() if not isinstance(answer.get(name), str | None)]
    if wrong or answer.get("name") is None:
        raise UpstreamError(f"the answer has no usable {', '.join(wrong) or 'name'}")
    return answer
