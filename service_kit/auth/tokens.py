"""From the text of a token to its user."""

import functools
import hashlib
import json
import logging
import ssl
import threading
import time
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
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt import PyJWK, PyJWTError

from event_stream.clock import Clock, SystemClock
from service_kit.auth.settings import AuthSettings

logger = logging.getLogger("service_kit.auth")

LEEWAY_S = 30
"""The largest difference between the clocks of the issuer and of this machine."""
RECHECK_AFTER_S = 300.0
"""A token is verified again after this, so that a withdrawn key ends it before it expires."""

_MAX_KEY_SET_BYTES = 256 * 1024
_TIMEOUT_S = 2.0
_LONGEST_READ_S = 5.0
_MAX_CACHED_TOKENS = 10_000
_MAX_TOKEN_LENGTH = 8192
# RFC 9068 names access tokens at+jwt; Keycloak and others say JWT. A logout token, for example, is neither.
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})

_RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key, and the algorithms that fit it: the one that the key set names, or those of its type.

    HMAC and "none" fit no public key.
    """

    public: Any
    algorithms: frozenset[str]


Keys = Mapping[str, SigningKey]


class KeySetError(ValueError):
    """A document that is no key set, or has no key to verify signatures with."""


class AuthError(Exception):
    """A token that can't be accepted. The base of `InvalidToken` (401) and `JWKSUnavailableError` (503)."""


class InvalidToken(AuthError):  # noqa: N818 - the name that RFC 6750 gives it
    """The token is not valid, or no longer. The text is for the caller, and never repeats parts of the token."""


class JWKSUnavailableError(AuthError):
    """The issuer's keys were never read and can't be read now. `retry_after_s` is the time until the next attempt."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("the issuer's keys can't be read")
        self.retry_after_s = retry_after_s


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
    """Return the user that the claims name. `roles_claim` is the name of a claim, or a path of names with dots.

    A missing claim, or one that is not a list of strings, means no roles.
    """
    value: Any = claims.get(roles_claim)
    if value is None:
        # Try the name before the path: some issuers use URLs, which have dots, as names of claims.
        value = claims
        for name in roles_claim.split("."):
            value = value.get(name) if isinstance(value, dict) else None
    roles = frozenset(role for role in value if isinstance(role, str)) if isinstance(value, list) else frozenset()
    return TokenUser(str(claims["sub"]), roles)


class KeySet:
    """The issuer's public keys by their `kid`. Thread-safe. It reads them when the first key is needed.

    Keys are read again when they are `fresh_s` old, so that a withdrawn key expires soon. An unknown `kid` may belong
    to a new key, and makes it read them again too. Neither happens more often than every `pause_s`, however many
    unknown tokens arrive. While the issuer is away, the known keys stay valid.
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

    def require(self) -> None:
        """Read the keys if they were never read. Raises JWKSUnavailableError if they can't be read now."""
        if self._read_at_s is None:
            self._refresh("")
        if self._read_at_s is None:
            raise JWKSUnavailableError(self._pause_s)

    def key(self, kid: str) -> SigningKey:
        """Raises InvalidToken if the issuer has no such key, JWKSUnavailableError if none of its keys is known."""
        now_s = self._clock.monotonic_s()
        if self._read_at_s is None or now_s - self._read_at_s >= self._fresh_s or kid not in self._keys:
            self._refresh(kid)
        key = self._keys.get(kid)
        if key is not None:
            return key
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
                keys = parse_key_set(self._read())
            except (OSError, httpx.HTTPError, ValueError) as error:
                if not self._away:
                    logger.warning(
                        "auth.keys_unreadable",
                        extra={"error": str(error) or type(error).__name__, "known": len(self._keys)},
                    )
                self._away = True
            else:
                self._keys, self._read_at_s, self._away = keys, now_s, False
                logger.info("auth.keys_read", extra={"kids": sorted(keys)})
            # Read the clock after the attempt, which may have taken as long as its timeout.
            self._tried_at_s = self._clock.monotonic_s()
        finally:
            self._reading.release()


def reader(url: str) -> Callable[[], bytes]:
    """Return a function that reads the document at `url`. It raises OSError, httpx.HTTPError or KeySetError.

    The authorities of this machine are trusted, or those that SSL_CERT_FILE and SSL_CERT_DIR name.
    """
    if url.startswith("file:"):
        return Path(url2pathname(urlsplit(url).path)).read_bytes

    def read() -> bytes:
        body = bytearray()
        deadline = time.monotonic() + _LONGEST_READ_S
        headers = {"Accept": "application/json"}
        authorities = ssl.create_default_context()
        with httpx.stream("GET", url, timeout=_TIMEOUT_S, headers=headers, verify=authorities) as answer:
            if answer.status_code != httpx.codes.OK:
                raise KeySetError(f"the key set was answered with status {answer.status_code}")
            for part in answer.iter_bytes():
                body += part
                if len(body) > _MAX_KEY_SET_BYTES:
                    raise KeySetError(f"a key set of more than {_MAX_KEY_SET_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise KeySetError(f"no complete key set within {_LONGEST_READ_S:g} s")
        return bytes(body)

    return read


def parse_key_set(document: bytes) -> Keys:
    """Return the public keys for signatures by kid, without secrets (`oct`), with which every reader could sign.

    Raises KeySetError.
    """
    try:
        content: Any = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise KeySetError(f"a key set should be a JSON object: {error}") from error
    entries = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise KeySetError("a key set should be a JSON object with a list of keys")
    keys = {entry["kid"]: key for entry in entries if isinstance(entry, dict) and (key := _signing_key(entry))}
    if not keys:
        raise KeySetError("a key set without a key for signatures that has a kid")
    return MappingProxyType(keys)


def _signing_key(entry: dict[str, Any]) -> SigningKey | None:
    """Return None for a key that is of no use here, as issuers publish others, too."""
    if not isinstance(entry.get("kid"), str) or not entry["kid"] or entry.get("use", "sig") != "sig":
        return None
    named = entry.get("alg")
    try:
        # Without a name, PyJWT takes the first algorithm of the type.
        key = PyJWK({name: value for name, value in entry.items() if name != "alg"}).key
    except (PyJWTError, TypeError, ValueError, AttributeError):
        return None
    algorithms = _algorithms(key)
    if named is not None:
        algorithms &= {named} if isinstance(named, str) else frozenset()
    return SigningKey(key, algorithms) if algorithms else None


def _algorithms(key: Any) -> frozenset[str]:
    if isinstance(key, rsa.RSAPublicKey):
        return _RSA_ALGORITHMS
    if isinstance(key, ec.EllipticCurvePublicKey):
        return frozenset({_CURVES[key.curve.name]} if key.curve.name in _CURVES else ())
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return frozenset({"EdDSA"})
    # A secret, or a private key that should not be published.
    return frozenset()


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    user: TokenUser
    expires_ms: int
    until_s: float


class TokenVerifier:
    """Verifies the tokens of one issuer. Thread-safe.

    It caches the last 10,000 valid tokens, so that not every request verifies a signature. The cache holds digests, so
    that a memory dump reveals no token.
    """

    def __init__(self, settings: AuthSettings, keys: KeySet, clock: Clock) -> None:
        self._settings = settings
        self.keys = keys
        self._clock = clock
        self._verified: OrderedDict[bytes, VerifiedToken] = OrderedDict()
        self._lock = threading.Lock()

    def verify(self, token: str) -> TokenUser:
        """Return the token's user. Raises InvalidToken, or JWKSUnavailableError if the token can't be verified now."""
        if len(token) > _MAX_TOKEN_LENGTH:
            raise InvalidToken("It is too long.")
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._verified.get(digest)
        if known and self._clock.monotonic_s() < known.until_s and self._clock.now_ms() < known.expires_ms:
            return known.user
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
            key = self.keys.key(kid)
            if header["alg"] not in key.algorithms:
                raise InvalidToken("Its algorithm is not one of its key.")
            claims = jwt.decode(
                token,
                key.public,
                algorithms=[header["alg"]],
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
            # Arbitrary input: the reason stays in the exception's cause.
            raise InvalidToken("It can't be read, or its signature is wrong.") from error
        return VerifiedToken(
            token_user(claims, self._settings.roles_claim),
            expires_ms=(int(claims["exp"]) + LEEWAY_S) * 1000,
            until_s=self._clock.monotonic_s() + RECHECK_AFTER_S,
        )

    def _remember(self, digest: bytes, verified: VerifiedToken) -> TokenUser:
        with self._lock:
            self._verified[digest] = verified
            self._verified.move_to_end(digest)
            if len(self._verified) > _MAX_CACHED_TOKENS:
                self._verified.popitem(last=False)
        return verified.user


@functools.lru_cache(maxsize=8)
def verifier(settings: AuthSettings) -> TokenVerifier:
    """Return this process' verifier for these settings."""
    clock = SystemClock()
    return TokenVerifier(settings, KeySet(reader(settings.jwks_url), clock), clock)
