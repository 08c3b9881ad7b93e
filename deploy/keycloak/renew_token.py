"""Keeps a service's own token fresh: `python renew_token.py`, beside the service, until it is stopped.

Asks TOKEN_URL by the client credentials grant as CLIENT_ID with CLIENT_SECRET, writes the token to TOKEN_FILE, and does
so again after half of its life. While the issuer is away it asks every few seconds; the last token stays.
"""

import logging
import logging.config
import os
import signal
import ssl
import sys
import threading
from pathlib import Path

import httpx

from service_kit.logging import logging_config

_PAUSE_S = 5.0
_LEAST_S = 1.0

logger = logging.getLogger("service_token")


def renew(url: str, client: str, secret: str, file: Path) -> float:
    """Returns how long the token is good for, in seconds. Raises httpx.HTTPError, ValueError or OSError."""
    data = {"grant_type": "client_credentials"}
    # The authorities of this machine, or those that SSL_CERT_FILE and SSL_CERT_DIR name.
    authorities = ssl.create_default_context()
    answer = httpx.post(url, data=data, auth=(client, secret), timeout=10, verify=authorities)
    answer.raise_for_status()
    content = answer.json()
    if not isinstance(content, dict) or not isinstance(content.get("access_token"), str):
        raise ValueError("the answer has no access_token")  # noqa: TRY004 - wrong as an answer
    new = file.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(content["access_token"])
    # Whole or not at all: somebody may be reading.
    new.replace(file)
    return float(content.get("expires_in", 60))


def main() -> int:
    logging.config.dictConfig(logging_config("INFO", "json", os.environ.get("CLIENT_ID", "service-token")))
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopping.set())
    try:
        names = ("TOKEN_URL", "CLIENT_ID", "CLIENT_SECRET", "TOKEN_FILE")
        url, client, secret, file = (os.environ[name] for name in names)
    except KeyError as missing:
        sys.exit(f"{missing.args[0]} is not set.")
    wait_s = 0.0
    while not stopping.wait(wait_s):
        try:
            lifetime_s = renew(url, client, secret, Path(file))
        except (httpx.HTTPError, ValueError, OSError) as error:
            logger.warning("token.not_renewed", extra={"error": str(error)})
            wait_s = _PAUSE_S
        else:
            logger.info("token.renewed", extra={"lifetime_s": lifetime_s})
            wait_s = max(_LEAST_S, lifetime_s / 2)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
