"""From the text of a token to its caller."""

import functools
import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass

import jwt

from event_stream.clock import Clock, SystemClock
from event_stream.web.auth.caller import Caller, caller_of
from event_stream.web.auth.configuration import AuthSettings
from event_stream.web.auth.errors import InvalidToken
from event_stream.web.auth.keys import KeySet, reader

LEEWAY_S = 30
"""The clocks of the issuer and of this machine may differ by so much."""
BELIEVED_S = 300.0
"""A token is checked again after this, so that a key which the issuer has withdrawn ends it before it expires."""
_REMEMBERED = 10_000
_LONGEST = 8192
# RFC 9068 names access tokens at+jwt; Keycloak and others say JWT. A logout token, say, is neither.
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})


@dataclass(frozen=True, slots=True)
class _Believed:
    caller: Caller
    expires_ms: int
    until_s: float


class TokenVerifier:
    """Checks tokens of one issuer, and remembers the last 10,000 that were good: a lookup is not to cost a signature.

    What is remembered is a digest, so that no dump of the memory gives a token away. For several threads.
    """

    def __init__(self, settings: AuthSettings, keys: KeySet, clock: Clock) -> None:
        self._settings = settings
        self._keys = keys
        self._clock = clock
        self._believed: OrderedDict[bytes, _Believed] = OrderedDict()
        self._lock = threading.Lock()

    def verify(self, token: str) -> Caller:
        """Raises InvalidToken, or NoKeysError when nothing can be said of it."""
        if len(token) > _LONGEST:
            raise InvalidToken("It is too long.")
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._believed.get(digest)
        if known and self._clock.monotonic_s() < known.until_s and self._clock.now_ms() < known.expires_ms:
            return known.caller
        return self._remember(digest, self._check(token))

    def _check(self, token: str) -> _Believed:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in self._settings.algorithms:
                raise InvalidToken("Its algorithm is not allowed here.")
            if str(header.get("typ", "JWT")).lower() not in _TYPES:
                raise InvalidToken("It is no access token.")
            if not isinstance(kid := header.get("kid"), str):
                raise InvalidToken("It does not name its key.")
            claims = jwt.decode(
                token,
                self._keys.key(kid),
                algorithms=self._settings.algorithms,
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise InvalidToken("It has expired.") from error
        except jwt.InvalidAudienceError as error:
            raise InvalidToken("It was made for another service.") from error
        except jwt.InvalidIssuerError as error:
            raise InvalidToken("It is another issuer's.") from error
        except jwt.MissingRequiredClaimError as error:
            raise InvalidToken("It lacks a claim: exp, iss, aud and sub are needed.") from error
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            # Whatever a stranger may have put there: the reason stays in the exception's cause.
            raise InvalidToken("It can't be read, or its signature is wrong.") from error
        return _Believed(
            caller_of(claims, self._settings.roles_claim),
            expires_ms=(int(claims["exp"]) + LEEWAY_S) * 1000,
            until_s=self._clock.monotonic_s() + BELIEVED_S,
        )

    def _remember(self, digest: bytes, believed: _Believed) -> Caller:
        with self._lock:
            self._believed[digest] = believed
            self._believed.move_to_end(digest)
            if len(self._believed) > _REMEMBERED:
                self._believed.popitem(last=False)
        return believed.caller


@functools.lru_cache(maxsize=8)
def verifier(settings: AuthSettings) -> TokenVerifier:
    """This process's verifier for these settings."""
    clock = SystemClock()
    return TokenVerifier(settings, KeySet(reader(settings.jwks_url), clock), clock)
