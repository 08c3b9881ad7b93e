"""From the text of a token to its caller."""

import functools
import hashlib
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx
import jwt
from jwt import PyJWK, PyJWKSet, PyJWTError

from event_stream.clock import Clock, SystemClock
from service_kit.auth.settings import AuthSettings

# Why a token is not believed.
#
# AuthError
# ├── InvalidToken     it is not one of ours, or no longer: 401
# └── JWKSUnavailableError      it can't be told: the issuer's keys were never read, and can't be now: 503


class AuthError(Exception):
    """A token that can't be accepted."""


class InvalidToken(AuthError):  # noqa: N818 - the name that RFC 6750 gives it
    """The text is for the caller, and never repeats anything out of the token."""


class JWKSUnavailableError(AuthError):
    """`retry_after_s`: when the issuer is asked again."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("the issuer's keys can't be read")
        self.retry_after_s = retry_after_s


# The caller, as a verified token describes it.


@dataclass(frozen=True, slots=True)
class TokenUser:
    """`request.user` of a request with a bearer token. It is in no database; the token is its only source."""

    subject: str
    roles: frozenset[str]

    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False
    is_active: ClassVar[bool] = True
    is_staff: ClassVar[bool] = False
    is_superuser: ClassVar[bool] = False

    @property
    def pk(self) -> str:
        return self.subject

    def get_username(self) -> str:
        return self.subject

    def __str__(self) -> str:
        return self.subject


def token_user(claims: dict[str, Any], roles_claim: str) -> TokenUser:
    """`roles_claim` is a claim's own name, or a path of names between dots. What isn't there, or isn't a list of texts,
    gives no role."""
    found: Any = claims.get(roles_claim)
    if found is None:
        # Some issuers name claims like URLs, whose dots are no path: hence only now.
        found = claims
        for name in roles_claim.split("."):
            found = found.get(name) if isinstance(found, dict) else None
    roles = frozenset(role for role in found if isinstance(role, str)) if isinstance(found, list) else frozenset()
    return TokenUser(str(claims["sub"]), roles)


# The issuer's public keys, read seldom and kept during an outage of the issuer.

logger = logging.getLogger("service_kit.auth")

_LARGEST_SET = 256 * 1024
_TIMEOUT_S = 2.0

Keys = Mapping[str, PyJWK]


class KeySet:
    """The keys by their `kid`. For several threads; asks nobody before the first key is wanted.

    Keys are read again when they are `fresh_s` old, so that one which the issuer has withdrawn is not believed for
    much longer. A key that isn't known may be a new one, and the set is read again for it. Neither happens more often
    than every `pause_s`, however many strange tokens come. When the issuer is away, the keys at hand stay good.
    """

    def __init__(
        self, read: Callable[[], bytes], clock: Clock, *, fresh_s: float = 300.0, pause_s: float = 10.0
    ) -> None:
        self._read = read
        self._clock = clock
        self._fresh_s = fresh_s
        self._pause_s = pause_s
        self._keys: Keys = MappingProxyType({})
        self._read_at_s: float | None = None
        self._tried_at_s: float | None = None
        self._away = False
        self._reading = threading.Lock()

    def key(self, kid: str) -> PyJWK:
        """Raises InvalidToken if the issuer has no such key, JWKSUnavailableError if none of its keys is known."""
        now_s = self._clock.monotonic_s()
        if self._read_at_s is None or now_s - self._read_at_s >= self._fresh_s or kid not in self._keys:
            self._refresh(kid)
        found = self._keys.get(kid)
        if found is not None:
            return found
        if self._read_at_s is None:
            raise JWKSUnavailableError(self._pause_s)
        raise InvalidToken("It is signed with a key that the issuer does not have.")

    def _refresh(self, kid: str) -> None:
        # Threads whose key is cached proceed during a refresh; the others wait for it.
        if not self._reading.acquire(blocking=kid not in self._keys):
            return
        try:
            now_s = self._clock.monotonic_s()
            if self._tried_at_s is not None and now_s - self._tried_at_s < self._pause_s:
                return
            try:
                keys = _parse(self._read())
            except (OSError, httpx.HTTPError, ValueError, RecursionError, PyJWTError) as error:
                if not self._away:
                    logger.warning("auth.keys_unreadable", extra={"error": str(error), "known": len(self._keys)})
                self._away = True
            else:
                self._keys, self._read_at_s, self._away = keys, now_s, False
                logger.info("auth.keys_read", extra={"kids": sorted(keys)})
            # After the attempt, which may have taken as long as its timeout.
            self._tried_at_s = self._clock.monotonic_s()
        finally:
            self._reading.release()


def reader(url: str) -> Callable[[], bytes]:
    """A function that reads the document at `url`. It raises OSError, httpx.HTTPError or ValueError."""
    if url.startswith("file:"):
        return Path(url2pathname(urlsplit(url).path)).read_bytes

    def read() -> bytes:
        body = bytearray()
        with httpx.stream("GET", url, timeout=_TIMEOUT_S, headers={"Accept": "application/json"}) as answer:
            if answer.status_code != httpx.codes.OK:
                raise ValueError(f"the key set was answered with status {answer.status_code}")
            for part in answer.iter_bytes():
                body += part
                if len(body) > _LARGEST_SET:
                    raise ValueError(f"a key set of more than {_LARGEST_SET} bytes")
        return bytes(body)

    return read


def _parse(document: bytes) -> Keys:
    """Public keys for signatures, by their kid. A secret (`oct`) is none: whoever reads the set could sign with it.

    Raises ValueError, RecursionError or PyJWTError for what is no key set.
    """
    content: Any = json.loads(document)
    if not isinstance(content, dict):
        raise ValueError("a key set should be a JSON object")  # noqa: TRY004 - wrong as a document
    keys = {key.key_id: key for key in PyJWKSet.from_dict(content).keys if key.key_id and _is_for_signatures(key)}
    if not keys:
        raise ValueError("a key set without a key for signatures that has a kid")
    return MappingProxyType(keys)


def _is_for_signatures(key: PyJWK) -> bool:
    return key.public_key_use != "enc" and key.key_type != "oct"


LEEWAY_S = 30
"""The clocks of the issuer and of this machine may differ by so much."""
BELIEVED_S = 300.0
"""A token is checked again after this, so that a key which the issuer has withdrawn ends it before it expires."""
_REMEMBERED = 10_000
_LONGEST = 8192
# RFC 9068 names access tokens at+jwt; Keycloak and others say JWT. A logout token, say, is neither.
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    caller: TokenUser
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
        self._believed: OrderedDict[bytes, VerifiedToken] = OrderedDict()
        self._lock = threading.Lock()

    def verify(self, token: str) -> TokenUser:
        """Raises InvalidToken, or JWKSUnavailableError when nothing can be said of it."""
        if len(token) > _LONGEST:
            raise InvalidToken("It is too long.")
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._believed.get(digest)
        if known and self._clock.monotonic_s() < known.until_s and self._clock.now_ms() < known.expires_ms:
            return known.caller
        return self._remember(digest, self._check(token))

    def _check(self, token: str) -> VerifiedToken:
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
        return VerifiedToken(
            token_user(claims, self._settings.roles_claim),
            expires_ms=(int(claims["exp"]) + LEEWAY_S) * 1000,
            until_s=self._clock.monotonic_s() + BELIEVED_S,
        )

    def _remember(self, digest: bytes, believed: VerifiedToken) -> TokenUser:
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
