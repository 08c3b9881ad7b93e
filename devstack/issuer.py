"""An issuer of tokens for development and tests: it signs whatever it is told to.

It is no server: its public key lies in a file, which the services read as their AUTH_JWKS_URL. Nobody believes it but
who was started with its `environment()`, and no image has this module.
"""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from devstack.errors import StackError

# `invalid` is a name that can never be looked up: whoever asks there for keys finds none.
URL = "https://development-issuer.invalid"
AUDIENCE = "organization-events"
LIFETIME_S = 3600
_PRIVATE_KEY, _KEY_SET = "private-key.pem", "jwks.json"

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class Issuer:
    """Signs with `key`. What it publishes, by `kid`, is in `keys`, and may be changed."""

    def __init__(self, url: str, audience: str, jwks_url: str, *, kid: str, key: Key) -> None:
        self.url = url
        self.audience = audience
        self.jwks_url = jwks_url
        self.keys: dict[str, Key] = {kid: key}
        self._kid, self._key = kid, key

    def environment(self) -> dict[str, str]:
        """The environment in which a service trusts this issuer, whatever the shell says of another one."""
        return {
            "AUTH_REQUIRED": "true",
            "AUTH_ISSUER": self.url,
            "AUTH_AUDIENCE": self.audience,
            "AUTH_JWKS_URL": self.jwks_url,
            "AUTH_ALGORITHMS": "RS256,ES256",
            "AUTH_ROLES_CLAIM": "realm_access.roles",
        }

    def claims(self, *roles: str, lifetime_s: int = 300, **more: Any) -> dict[str, Any]:
        """Of a token for somebody with these roles; `more` are claims by their names, and win."""
        now_s = int(time.time())
        return {
            "iss": self.url,
            "aud": self.audience,
            "sub": "somebody",
            "iat": now_s,
            "exp": now_s + lifetime_s,
            "realm_access": {"roles": list(roles)},
            **more,
        }

    def token(self, *roles: str, lifetime_s: int = 300, **more: Any) -> str:
        return sign(self.claims(*roles, lifetime_s=lifetime_s, **more), self._key, self._kid)

    def key_set(self) -> bytes:
        """The document that an issuer publishes."""
        return json.dumps({"keys": [public_jwk(kid, key) for kid, key in self.keys.items()]}).encode()


def sign(claims: dict[str, Any], key: Key, kid: str | None, algorithm: str | None = None, **header: Any) -> str:
    names = ({"kid": kid} if kid else {}) | header
    return jwt.encode(claims, key, algorithm=algorithm or _default_algorithm(key), headers=names)


def public_jwk(kid: str, key: Key) -> dict[str, Any]:
    if isinstance(key, rsa.RSAPrivateKey):
        text = RSAAlgorithm.to_jwk(key.public_key())
    else:
        text = ECAlgorithm.to_jwk(key.public_key())
    jwk: dict[str, Any] = json.loads(text)
    return jwk | {"kid": kid, "use": "sig", "alg": _default_algorithm(key)}


def _default_algorithm(key: Key) -> str:
    return "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"


def make_issuer(folder: Path) -> Issuer:
    """The development issuer whose key is kept in `folder`; a new key where there is none."""
    file = folder / _PRIVATE_KEY
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        file.touch(mode=0o600)
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    issuer = load_issuer(folder)
    (folder / _KEY_SET).write_bytes(issuer.key_set())
    return issuer


def load_issuer(folder: Path) -> Issuer:
    """The same, for a key that is there. Raises StackError where there is none."""
    file = folder / _PRIVATE_KEY
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except FileNotFoundError:
        raise StackError(f"There is no issuer's key in {folder}: ./manage_scripts/run makes one.") from None
    except (OSError, ValueError) as error:
        raise StackError(f"The issuer's key {file} can't be read ({error}): delete it for a new one.") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StackError(f"The issuer's key {file} is not one that was made here: delete it for a new one.")
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    kid = hashlib.sha256(public).hexdigest()[:16]
    return Issuer(URL, AUDIENCE, (folder / _KEY_SET).resolve().as_uri(), kid=kid, key=key)


class TokenFile:
    """A service's own token in a file (`ORGANIZATION_TOKEN_FILE`), which its readers open again each time."""

    def __init__(self, path: Path, issuer: Issuer, subject: str) -> None:
        self.path = path
        self._issuer = issuer
        self._subject = subject
        self._renew_at_s = 0.0

    def keep_fresh(self) -> None:
        """Write a new token if the last one has lived for half of its time. To be called now and then."""
        now_s = time.time()
        if now_s < self._renew_at_s:
            return
        new = self.path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(self._issuer.token(sub=self._subject, lifetime_s=LIFETIME_S))
        # Whole or not at all: somebody may be reading.
        new.replace(self.path)
        self._renew_at_s = now_s + LIFETIME_S / 2
