"""Why a token is not believed.

AuthError
├── InvalidToken     it is not one of ours, or no longer: 401
└── NoKeysError      it can't be told: the issuer's keys were never read, and can't be now: 503
"""


class AuthError(Exception):
    """A token that can't be accepted."""


class InvalidToken(AuthError):  # noqa: N818 - the name that RFC 6750 gives it
    """The text is for the caller, and never repeats anything out of the token."""


class NoKeysError(AuthError):
    """`retry_after_s`: when the issuer is asked again."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("the issuer's keys can't be read")
        self.retry_after_s = retry_after_s
