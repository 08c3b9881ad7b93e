"""Tokens that nobody may believe, each by what is wrong with it."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from devstack.issuer import public_jwk
from tests.security.issuer import FIRST_KEY, SECOND_KEY, Issuer, sign

_PUBLIC_PEM = FIRST_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _part(value: Any) -> str:
    return _encode(json.dumps(value).encode())


def _unsigned(issuer: Issuer, algorithm: str) -> str:
    return f"{_part({'alg': algorithm, 'kid': 'first'})}.{_part(issuer.claims('ADMIN'))}."


def _signed_with_the_public_key(issuer: Issuer) -> str:
    """The confusion: checked as HS256, the public key that everybody has would be the secret."""
    text = f"{_part({'alg': 'HS256', 'kid': 'first', 'typ': 'JWT'})}.{_part(issuer.claims('ADMIN'))}"
    return f"{text}.{_encode(hmac.digest(_PUBLIC_PEM, text.encode(), hashlib.sha256))}"


def _tampered(issuer: Issuer) -> str:
    header, _claims, signature = issuer.token("USER").split(".")
    return f"{header}.{_part(issuer.claims('ADMIN'))}.{signature}"


def _without(issuer: Issuer, claim: str) -> str:
    return sign({name: value for name, value in issuer.claims("ADMIN").items() if name != claim})


def _cut(issuer: Issuer) -> str:
    return issuer.token("ADMIN").rpartition(".")[0] + "."


FORGED: dict[str, Callable[[Issuer], str]] = {
    "expired": lambda issuer: issuer.token("ADMIN", exp=int(time.time()) - 60),
    "not yet good": lambda issuer: issuer.token("ADMIN", nbf=int(time.time()) + 300),
    "another audience": lambda issuer: issuer.token("ADMIN", aud="another-service"),
    "another issuer": lambda issuer: issuer.token("ADMIN", iss="https://id.example.org"),
    "issuer with a slash more": lambda issuer: issuer.token("ADMIN", iss=f"{issuer.url}/"),
    "another key under the same name": lambda issuer: sign(issuer.claims("ADMIN"), key=SECOND_KEY),
    "a key that is not the issuer's": lambda issuer: sign(issuer.claims("ADMIN"), key=SECOND_KEY, kid="mine"),
    "a key brought along": lambda issuer: sign(
        issuer.claims("ADMIN"), key=SECOND_KEY, kid="mine", jwk=public_jwk("mine", SECOND_KEY)
    ),
    "a key somewhere else": lambda issuer: sign(
        issuer.claims("ADMIN"), key=SECOND_KEY, kid="mine", jku="http://127.0.0.1:1/keys"
    ),
    "no name of a key": lambda issuer: sign(issuer.claims("ADMIN"), kid=None),
    "alg none": lambda issuer: _unsigned(issuer, "none"),
    "alg nOnE": lambda issuer: _unsigned(issuer, "nOnE"),
    "alg RS256 and no signature": lambda issuer: _unsigned(issuer, "RS256"),
    "HS256 with the public key": _signed_with_the_public_key,
    "an algorithm that is not on the list": lambda issuer: sign(issuer.claims("ADMIN"), algorithm="PS256"),
    "tampered": _tampered,
    "signature cut off": _cut,
    "no expiry": lambda issuer: _without(issuer, "exp"),
    "no audience": lambda issuer: _without(issuer, "aud"),
    "no issuer": lambda issuer: _without(issuer, "iss"),
    "no subject": lambda issuer: _without(issuer, "sub"),
    "not an access token": lambda issuer: sign(issuer.claims("ADMIN"), typ="logout+jwt"),
    "a critical extension": lambda issuer: sign(issuer.claims("ADMIN"), crit=["strange"], strange=True),
    "an expiry that is no number": lambda issuer: sign(issuer.claims("ADMIN", exp="tomorrow")),
    "an expiry beyond all numbers": lambda issuer: sign(issuer.claims("ADMIN", exp=1e300 * 1e300)),
    "too long": lambda issuer: issuer.token("ADMIN", filler="x" * 7000),
    "no token": lambda _issuer: "a.b.c",
    "empty": lambda _issuer: "",
}
