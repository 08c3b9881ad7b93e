"""A token that runs out in the middle of a long `run` would leave licensing without its organizations."""

import time
from pathlib import Path

import jwt
import pytest

from devstack.issuer import AUDIENCE, LIFETIME_S, TokenFile, make_issuer


def test_it_is_renewed_when_half_of_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock_s = time.time()
    monkeypatch.setattr(time, "time", lambda: clock_s)
    tokens = TokenFile(tmp_path / "own.token", make_issuer(tmp_path / "issuer"), "licensing")
    tokens.keep_fresh()
    first = tokens.path.read_text()

    clock_s += LIFETIME_S / 2 - 1
    tokens.keep_fresh()
    assert tokens.path.read_text() == first

    clock_s += 1
    tokens.keep_fresh()
    claims = jwt.decode(tokens.path.read_text(), audience=AUDIENCE, options={"verify_signature": False})
    assert claims["sub"] == "licensing"
    assert claims["exp"] == int(clock_s) + LIFETIME_S
    # Whoever reads it is licensing.
    assert tokens.path.stat().st_mode & 0o077 == 0
