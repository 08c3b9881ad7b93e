"""What can go wrong when the organization service is asked.

FetchFailed (event_stream.cache: a value already known may be served in its place)
├── PeerFault      it can't be reached, is too slow, answers 5xx, or answers what no organization service would
│   └── Passing    of these, the ones that another attempt may mend
├── OwnTokenFault  this service's own token can't be read, or is refused: nobody else is concerned
├── CircuitOpen    it has failed too often lately, and is left alone for a while
└── TooBusy        as many calls as allowed are under way, and none ended within the budget
Refused            it answers, but not this caller: 401 or 403, handed on to him
"""

from event_stream.cache import FetchFailed


class PeerFault(FetchFailed):
    """The organization service did not give a usable answer. Counted by the circuit."""


class Passing(PeerFault):
    """May be gone with the next attempt: a broken connection, a 502."""


class OwnTokenFault(FetchFailed):
    """Says nothing of the organization service: callers with tokens of their own are answered, so no circuit opens."""

    authorization = None
    """What the caller had sent."""


class CircuitOpen(FetchFailed):
    """Not asked at all."""


class TooBusy(FetchFailed):
    """Not asked for want of a free place."""


class Refused(Exception):  # noqa: N818 - an answer rather than an error
    """The caller who sent `authorization` is not let in. `challenge` is the answer's WWW-Authenticate."""

    def __init__(self, status: int, authorization: str | None, challenge: str | None) -> None:
        super().__init__(f"the organization service answered {status}")
        self.status = status
        self.authorization = authorization
        self.challenge = challenge
