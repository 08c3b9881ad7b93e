"""The issuer's public keys, read seldom and kept over an outage of his."""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx
from jwt import PyJWK, PyJWKSet, PyJWTError

from event_stream.clock import Clock
from event_stream.web.auth.errors import InvalidToken, NoKeysError

logger = logging.getLogger("event_stream.web.auth")

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
        """Raises InvalidToken if the issuer has no such key, NoKeysError if no key of his is known at all."""
        now_s = self._clock.monotonic_s()
        if self._read_at_s is None or now_s - self._read_at_s >= self._fresh_s or kid not in self._keys:
            self._refresh(kid)
        found = self._keys.get(kid)
        if found is not None:
            return found
        if self._read_at_s is None:
            raise NoKeysError(self._pause_s)
        raise InvalidToken("It is signed with a key that the issuer does not have.")

    def _refresh(self, kid: str) -> None:
        # Who has the key he wants goes on with it while another one reads; the others have to wait for him.
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
