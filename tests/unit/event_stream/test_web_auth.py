"""Bearer tokens: which are believed, whose keys, and what happens while the issuer is away."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from django.core.exceptions import ImproperlyConfigured
from jwt.algorithms import get_default_algorithms

from devstack.issuer import public_jwk
from event_stream.clock import SystemClock
from service_kit.auth import AuthSettings, from_environment, log_auth_mode
from service_kit.auth.settings import ALGORITHMS
from service_kit.auth.tokens import (
    LEEWAY_S,
    RECHECK_AFTER_S,
    InvalidToken,
    JWKSUnavailableError,
    KeySet,
    TokenVerifier,
    reader,
)
from tests.security.certificates import Authority
from tests.security.forged import FORGED
from tests.security.issuer import AUDIENCE, CURVE_KEY, FIRST_KEY, SECOND_KEY, Issuer, running, sign


@dataclass(slots=True)
class SetClock:
    """Stands still until it is put forward. It starts at the machine's time, which PyJWT reads for itself."""

    ms: int
    s: float = 1000.0

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.s

    def forward(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)
        self.s += seconds


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running() as issuer:
        yield issuer


@pytest.fixture
def clock(issuer: Issuer) -> SetClock:
    return SetClock(issuer.claims()["iat"] * 1000)


@pytest.fixture
def verifier(issuer: Issuer, clock: SetClock) -> TokenVerifier:
    return make(issuer, clock)


def make(issuer: Issuer, clock: SetClock, **settings: Any) -> TokenVerifier:
    options = AuthSettings(issuer.url, AUDIENCE, issuer.jwks_url, **settings)
    return TokenVerifier(options, KeySet(reader(options.jwks_url), clock), clock)


# Which tokens are believed.


def test_a_good_token_says_who_calls_and_what_he_may(verifier: TokenVerifier, issuer: Issuer) -> None:
    caller = verifier.verify(issuer.token("USER", "other"))
    assert caller.subject == "somebody"
    assert caller.roles == {"USER", "other"}


def test_an_audience_among_several_will_do(verifier: TokenVerifier, issuer: Issuer) -> None:
    assert verifier.verify(issuer.token(aud=["another", AUDIENCE])).roles == frozenset()


def test_a_token_on_a_curve_is_believed(verifier: TokenVerifier, issuer: Issuer) -> None:
    issuer.keys = {"curve": CURVE_KEY}
    assert verifier.verify(sign(issuer.claims("USER"), key=CURVE_KEY, kid="curve", algorithm="ES256")).roles == {"USER"}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_token_is_not_believed(verifier: TokenVerifier, issuer: Issuer, what: str) -> None:
    verifier.verify(issuer.token("USER"))
    with pytest.raises(InvalidToken) as refused:
        verifier.verify(FORGED[what](issuer))
    # It goes into a header between quotes.
    assert '"' not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "claims", "roles"),
    [
        ("roles", {"roles": ["USER"]}, {"USER"}),
        ("resource_access.ours.roles", {"resource_access": {"ours": {"roles": ["ADMIN"]}}}, {"ADMIN"}),
        ("https://id.example.org/roles", {"https://id.example.org/roles": ["USER"]}, {"USER"}),
        ("roles", {}, set()),
        ("roles", {"roles": "ADMIN"}, set()),
        ("roles", {"roles": [1, None, ["ADMIN"], "USER"]}, {"USER"}),
        ("roles.deeper", {"roles": ["ADMIN"]}, set()),
    ],
)
def test_roles_are_where_the_setting_says(
    issuer: Issuer, clock: SetClock, path: str, claims: dict[str, Any], roles: set[str]
) -> None:
    assert make(issuer, clock, roles_claim=path).verify(issuer.token(**claims)).roles == roles


def test_a_remembered_token_costs_no_signature_and_ends_with_its_time(
    verifier: TokenVerifier, issuer: Issuer, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = issuer.token("USER", exp=clock.ms // 1000 + 60)
    checked: list[str] = []
    whole: Callable[..., Any] = TokenVerifier._check

    def check(self: TokenVerifier, token: str) -> Any:
        checked.append(token)
        return whole(self, token)

    monkeypatch.setattr(TokenVerifier, "_check", check)
    assert verifier.verify(token) is verifier.verify(token)
    assert len(checked) == 1
    clock.forward(60 + LEEWAY_S)
    verifier.verify(token)
    # PyJWT's own clock has not moved, so that it is believed again: what counts is that it was looked at again.
    assert len(checked) == 2


def test_no_more_tokens_are_remembered_than_there_is_room_for(
    verifier: TokenVerifier, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service_kit.auth.tokens._MAX_CACHED_TOKENS", 3)
    for number in range(5):
        verifier.verify(issuer.token(sub=str(number)))
    assert [verified.user.subject for verified in verifier._verified.values()] == ["2", "3", "4"]


RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
CURVES = {"ES256": CURVE_KEY, "ES384": ec.generate_private_key(ec.SECP384R1())}
CURVES["ES512"] = ec.generate_private_key(ec.SECP521R1())
OF_NO_NAME = {**dict.fromkeys(RSA, FIRST_KEY), **CURVES, "EdDSA": ed25519.Ed25519PrivateKey.generate()}


def key_set(key: Any, algorithm: str, **members: Any) -> KeySet:
    """Read a key as an issuer publishes it that names no algorithm; `members` name more."""
    jwk = json.loads(get_default_algorithms()[algorithm].to_jwk(key.public_key()))
    document = json.dumps({"keys": [{**jwk, "kid": "first", **members}]}).encode()
    return KeySet(lambda: document, SystemClock())


@pytest.mark.parametrize(("algorithm", "key"), OF_NO_NAME.items(), ids=OF_NO_NAME)
def test_a_key_that_names_no_algorithm_is_for_those_of_its_type(issuer: Issuer, algorithm: str, key: Any) -> None:
    allowed = AuthSettings(issuer.url, AUDIENCE, issuer.jwks_url, algorithms=ALGORITHMS)
    token = sign(issuer.claims("USER"), key=key, algorithm=algorithm)
    assert TokenVerifier(allowed, key_set(key, algorithm), SystemClock()).verify(token).roles == {"USER"}
    # What the setting does not allow, no key allows.
    narrow = replace(allowed, algorithms=tuple(set(ALGORITHMS) - {algorithm}))
    with pytest.raises(InvalidToken, match="not allowed here"):
        TokenVerifier(narrow, key_set(key, algorithm), SystemClock()).verify(token)
    other = "RS384" if algorithm == "RS512" else "RS512"
    with pytest.raises((InvalidToken, JWKSUnavailableError)):
        TokenVerifier(allowed, key_set(key, algorithm, alg=other), SystemClock()).verify(token)


@pytest.mark.parametrize("named", ["none", "HS256", "ES256", ["RS256"], 7, {}])
@pytest.mark.parametrize("token", ["alg none", "HS256 with the public key"])
def test_no_key_decides_for_a_secret_or_for_no_signature(issuer: Issuer, named: Any, token: str) -> None:
    settings = AuthSettings(issuer.url, AUDIENCE, issuer.jwks_url, algorithms=ALGORITHMS)
    with pytest.raises((InvalidToken, JWKSUnavailableError)):
        TokenVerifier(settings, key_set(FIRST_KEY, "RS256", alg=named), SystemClock()).verify(FORGED[token](issuer))
    # Nor for itself: the key set holds no key then.
    with pytest.raises(JWKSUnavailableError):
        key_set(FIRST_KEY, "RS256", alg=named).key("first")


# The issuer's keys.


def test_the_keys_may_come_from_an_issuer_with_a_private_authority(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    with running(authority.pair("issuer")) as issuer:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            reader(issuer.jwks_url)()
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        assert reader(issuer.jwks_url)() == issuer.key_set()


def test_a_new_key_is_read_when_it_is_first_seen_and_the_old_one_ends(
    verifier: TokenVerifier, issuer: Issuer, clock: SetClock
) -> None:
    old, new = issuer.token(), sign(issuer.claims(), key=SECOND_KEY, kid="second")
    verifier.verify(old)
    issuer.keys = {"second": SECOND_KEY}
    clock.forward(11)
    verifier.verify(new)
    assert issuer.reads == 2
    # The old token was believed already, and is for as long as the setting has it; not longer.
    verifier.verify(old)
    clock.forward(RECHECK_AFTER_S)
    with pytest.raises(InvalidToken, match="does not have"):
        verifier.verify(old)


def test_a_withdrawn_key_ends_without_any_new_one(verifier: TokenVerifier, issuer: Issuer, clock: SetClock) -> None:
    issuer.keys = {"first": FIRST_KEY, "second": SECOND_KEY}
    verifier.verify(issuer.token())
    del issuer.keys["first"]
    clock.forward(RECHECK_AFTER_S)
    with pytest.raises(InvalidToken, match="does not have"):
        verifier.verify(issuer.token())


def test_strange_tokens_make_no_storm_on_the_issuer(verifier: TokenVerifier, issuer: Issuer, clock: SetClock) -> None:
    for number in range(50):
        with pytest.raises(InvalidToken):
            verifier.verify(sign(issuer.claims(), key=SECOND_KEY, kid=f"strange-{number}"))
    assert issuer.reads == 1
    clock.forward(10)
    with pytest.raises(InvalidToken):
        verifier.verify(sign(issuer.claims(), key=SECOND_KEY, kid="strange"))
    assert issuer.reads == 2


def test_callers_who_come_at_once_cause_one_read(issuer: Issuer, verifier: TokenVerifier) -> None:
    together = threading.Barrier(8)

    def verify(number: int) -> str:
        together.wait()
        return verifier.verify(issuer.token(sub=str(number))).subject

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(verify, range(8))) == [str(number) for number in range(8)]
    assert issuer.reads == 1


def test_with_the_issuer_away_the_keys_at_hand_stay_good(
    verifier: TokenVerifier, issuer: Issuer, clock: SetClock, caplog: pytest.LogCaptureFixture
) -> None:
    verifier.verify(issuer.token())
    issuer.down = True
    for _ in range(3):
        clock.forward(RECHECK_AFTER_S)
        assert verifier.verify(issuer.token("USER")).roles == {"USER"}
    assert [record.message for record in caplog.records].count("auth.keys_unreadable") == 1
    issuer.down, issuer.keys = False, {"second": SECOND_KEY}
    clock.forward(10)
    with pytest.raises(InvalidToken):
        verifier.verify(issuer.token("ADMIN"))


def test_with_no_key_at_all_nothing_is_decided(verifier: TokenVerifier, issuer: Issuer, clock: SetClock) -> None:
    issuer.down = True
    for _ in range(3):
        with pytest.raises(JWKSUnavailableError) as unknown:
            verifier.verify(issuer.token())
    assert unknown.value.retry_after_s == 10
    assert issuer.reads == 1
    issuer.down = False
    clock.forward(10)
    verifier.verify(issuer.token())


@pytest.mark.parametrize(
    "document",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys": []}',
        b'{"keys": [{"kty": "RSA"}]}',
        b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "first"}]}',
        json.dumps({"keys": [public_jwk("first", FIRST_KEY) | {"use": "enc"}]}).encode(),
        b'{"keys": [null, 7, {"kid": [], "kty": {}}, {"kid": "first", "kty": "EC", "crv": "P-521", "x": 1}]}',
        b"[" * 100_000,
        b"x" * 300_000,
    ],
    ids=lambda document: document[:30].decode(),
)
def test_what_is_no_key_set_counts_as_none(clock: SetClock, document: bytes) -> None:
    with pytest.raises(JWKSUnavailableError):
        KeySet(lambda: document, clock).key("first")


def test_keys_may_lie_in_a_file(issuer: Issuer, clock: SetClock, tmp_path: Path) -> None:
    file = tmp_path / "key set.json"
    file.write_bytes(issuer.key_set())
    assert KeySet(reader(file.as_uri()), clock).key("first").algorithms == {"RS256"}
    with pytest.raises(JWKSUnavailableError):
        KeySet(reader((tmp_path / "none").as_uri()), clock).key("first")


# The settings.


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AUTH_")]:
        monkeypatch.delenv(name)


def test_nothing_is_open_because_a_variable_was_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_AUDIENCE", "ours")
    with pytest.raises(ImproperlyConfigured, match=r"^AUTH_ISSUER should be .* AUTH_REQUIRED=false"):
        from_environment()


def test_openness_is_asked_for_by_name_and_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AUTH_REQUIRED", "false")
    assert from_environment() is None
    log_auth_mode(None)
    assert [(record.levelname, record.message) for record in caplog.records] == [("WARNING", "auth.off")]


def test_an_issuer_whose_tokens_nobody_needs_is_a_contradiction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_REQUIRED", "false")
    monkeypatch.setenv("AUTH_ISSUER", "https://id.example.org")
    with pytest.raises(
        ImproperlyConfigured, match="AUTH_REQUIRED should be true, or not set, where AUTH_ISSUER is set"
    ):
        from_environment()


def test_an_issuer_and_an_audience_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_ISSUER", "https://id.example.org/realms/ours")
    monkeypatch.setenv("AUTH_AUDIENCE", "ours")
    assert from_environment() == AuthSettings(
        "https://id.example.org/realms/ours",
        "ours",
        "https://id.example.org/realms/ours/protocol/openid-connect/certs",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AUTH_REQUIRED", "perhaps"),
        ("AUTH_REQUIRED", ""),
        ("AUTH_ISSUER", ""),
        ("AUTH_ISSUER", "id.example.org"),
        ("AUTH_AUDIENCE", None),
        ("AUTH_AUDIENCE", ""),
        ("AUTH_JWKS_URL", "ftp://id.example.org/keys"),
        ("AUTH_ALGORITHMS", ""),
        ("AUTH_ALGORITHMS", "RS256,HS256"),
        ("AUTH_ALGORITHMS", "none"),
        ("AUTH_ROLES_CLAIM", ""),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str | None) -> None:
    monkeypatch.setenv("AUTH_ISSUER", "https://id.example.org")
    monkeypatch.setenv("AUTH_AUDIENCE", "ours")
    monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name)
    with pytest.raises(ImproperlyConfigured, match=f"{name} should be"):
        from_environment()


def test_nothing_that_is_signed_with_a_secret_can_be_allowed() -> None:
    assert not [name for name in ALGORITHMS if name.startswith("HS") or name == "none"]
