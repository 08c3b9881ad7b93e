"""The user context: the caller and the transaction, held for the duration of a request or a message."""

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime

CORRELATION_ID = "tmx-correlation-id"
USER_ID = "tmx-user-id"
ORGANIZATION_ID = "tmx-org-id"
AUTHORIZATION = "Authorization"

# Another of the source's services sends this name where its text says tmx-org-id: both are read, the first is sent.
ORGANIZATION_ID_ALIASES = (ORGANIZATION_ID, "tmx-organization-id")

_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:@/+=-]{1,128}")
# What HTTP can carry on: anything else can't be good credentials, and would be an error where it is to be sent.
_SENDABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


def new_correlation_id() -> str:
    return str(uuid.uuid4())


def is_acceptable(value: str) -> bool:
    """Whether a value from outside may be kept as an id: 1 to 128 visible characters, safe in logs."""
    return _ACCEPTABLE.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class UserContext:
    """The four headers of the source, as one value. `authorization` never shows in a repr or a log.

    `began_at` is when the request or the handling of the message began.
    """

    correlation_id: str = field(default_factory=new_correlation_id)
    user_id: str | None = None
    organization_id: str | None = None
    authorization: str | None = field(default=None, repr=False)
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC), repr=False, compare=False)

    def http_headers(self) -> dict[str, str]:
        """For an outgoing HTTP call."""
        headers = self._headers()
        if self.authorization:
            headers[AUTHORIZATION] = self.authorization
        return headers

    def message_headers(self) -> dict[str, str]:
        """For an outgoing message: credentials stay out, because a log keeps what it is given."""
        return {**self._headers(), **sourced_headers()}

    def _headers(self) -> dict[str, str]:
        headers = {CORRELATION_ID: self.correlation_id}
        if self.user_id:
            headers[USER_ID] = self.user_id
        if self.organization_id:
            headers[ORGANIZATION_ID] = self.organization_id
        return headers


message_header_sources: set[Callable[[], Mapping[str, str]]] = set()
"""Functions that return what else goes with a message from here: a trace context, say."""


def sourced_headers() -> dict[str, str]:
    """Return what `message_header_sources` have for a message from here."""
    headers: dict[str, str] = {}
    for source in message_header_sources:
        headers |= source()
    return headers


def from_headers(headers: Mapping[str, str]) -> tuple[UserContext, str | None]:
    """The context in these headers (names without regard to case), and the correlation id that was refused, if any."""
    lower = {name.lower(): value for name, value in headers.items()}

    def acceptable(name: str) -> str | None:
        value = lower.get(name)
        return value if value and is_acceptable(value) else None

    given = lower.get(CORRELATION_ID)
    accepted = acceptable(CORRELATION_ID)
    authorization = lower.get(AUTHORIZATION.lower())
    organization_id = next(filter(None, map(acceptable, ORGANIZATION_ID_ALIASES)), None)
    context = UserContext(
        correlation_id=accepted or new_correlation_id(),
        user_id=acceptable(USER_ID),
        organization_id=organization_id,
        authorization=authorization if authorization and _SENDABLE.fullmatch(authorization) else None,
    )
    return context, given if given and not accepted else None


_current: ContextVar[UserContext | None] = ContextVar("event_stream_user_context", default=None)


def current() -> UserContext | None:
    """The context of the request or message being handled; None outside of one."""
    return _current.get()


def current_or_new() -> UserContext:
    """The context being handled, or one with an id of its own (a shell, a command)."""
    return _current.get() or UserContext()


@contextmanager
def use(context: UserContext) -> Iterator[UserContext]:
    """Handle something in this context; what was current before comes back afterwards."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
