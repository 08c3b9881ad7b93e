"""An issuer of tokens for tests: it signs whatever it is told to, and publishes its keys over HTTP."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "ours"
# Making one takes a moment; no test is about the number itself.
_RSA = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
FIRST_KEY, SECOND_KEY = _RSA
CURVE_KEY = ec.generate_private_key(ec.SECP256R1())


class Issuer:
    """`keys` are published by their `kid`, and may be changed; while `down`, nothing is. `reads` counts who asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: dict[str, Any] = {"first": FIRST_KEY}
        self.down = False
        self.reads = 0

    @property
    def jwks_url(self) -> str:
        return f"{self.url}/keys"

    def environment(self) -> dict[str, str]:
        """What makes a service believe it."""
        return {
            "AUTH_REQUIRED": "true",
            "AUTH_ISSUER": self.url,
            "AUTH_AUDIENCE": AUDIENCE,
            "AUTH_JWKS_URL": self.jwks_url,
        }

    def claims(self, *roles: str, **more: Any) -> dict[str, Any]:
        now_s = int(time.time())
        return {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "somebody",
            "iat": now_s,
            "exp": now_s + 300,
            "realm_access": {"roles": list(roles)},
            **more,
        }

    def token(self, *roles: str, **more: Any) -> str:
        return sign(self.claims(*roles, **more))

    def key_set(self) -> bytes:
        return json.dumps({"keys": [public_jwk(kid, key) for kid, key in self.keys.items()]}).encode()


def sign(
    claims: dict[str, Any], *, key: Any = FIRST_KEY, kid: str | None = "first", algorithm: str = "RS256", **header: Any
) -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers=({"kid": kid} if kid else {}) | header)


def public_jwk(kid: str, key: Any) -> dict[str, Any]:
    kind, algorithm = (RSAAlgorithm, "RS256") if isinstance(key, rsa.RSAPrivateKey) else (ECAlgorithm, "ES256")
    jwk: dict[str, Any] = json.loads(kind.to_jwk(key.public_key()))
    return jwk | {"kid": kid, "use": "sig", "alg": algorithm}


@contextmanager
def running() -> Iterator[Issuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.reads += 1
            body = b"" if issuer.down else issuer.key_set()
            self.send_response(503 if issuer.down else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = Issuer(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
