"""The issuer of tokens that tests have in hand: it publishes its keys over HTTP, and can be away."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from devstack import issuer as stack
from tests.security.certificates import Pair

AUDIENCE = "ours"
# Making one takes a moment; no test is about the number itself.
_RSA = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
FIRST_KEY, SECOND_KEY = _RSA
CURVE_KEY = ec.generate_private_key(ec.SECP256R1())


class Issuer(stack.Issuer):
    """It signs with FIRST_KEY. While `down`, nothing is published. `reads` counts who asked."""

    def __init__(self, url: str) -> None:
        super().__init__(url, AUDIENCE, f"{url}/keys", kid="first", key=FIRST_KEY)
        self.down = False
        self.reads = 0


def sign(
    claims: dict[str, Any], *, key: Any = FIRST_KEY, kid: str | None = "first", algorithm: str = "RS256", **header: Any
) -> str:
    return stack.sign(claims, key, kid, algorithm, **header)


@contextmanager
def running(tls: Pair | None = None) -> Iterator[Issuer]:
    """`tls`: the certificate that it presents, for https."""

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
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    issuer = Issuer(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
