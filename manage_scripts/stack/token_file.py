"""A service's own token in a file, renewed before it expires."""

import time
from pathlib import Path

from manage_scripts.stack.issuer import Issuer

LIFETIME_S = 3600


class TokenFile:
    """For `ORGANIZATION_TOKEN_FILE`: its readers open it anew each time."""

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
