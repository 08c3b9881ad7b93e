"""The hot lookup's answers beside those of the long way: equal to the byte, over thousands of generated requests."""

import json
import random
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from devstack.issuer import public_jwk
from event_stream.fenced_cache.cache import Eviction
from licenses.api import responses
from licenses.api.hot_lookup import HotLookupMiddleware
from licenses.api.views import SingleLicense
from licenses.models import License
from organization_lookup import lookup
from service_kit.auth import AuthSettings
from service_kit.wsgi import Request
from tests.licensing_project.organization_service import NASA, OrganizationService
from tests.security.issuer import FIRST_KEY, SECOND_KEY, Issuer, sign

HOT = f"{HotLookupMiddleware.__module__}.{HotLookupMiddleware.__qualname__}"
REQUESTS = 1_000
PLAIN = 0.6
"""The share of requests that leave out what is drawn here; of the others each has some of it."""

Headers = dict[str, str]


class Ways:
    """The same service with the hot lookup and without it. `long_answers` counts what reached the view."""

    def __init__(self, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hot, self.long = (Client(raise_request_exception=False) for _ in range(2))
        self.hot.handler.load_middleware()
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != HOT]
        self.long.handler.load_middleware()
        self.long_answers = 0
        get = SingleLicense.get

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.long_answers += 1
            return get(*args, **kwargs)

        monkeypatch.setattr(SingleLicense, "get", counted)

    def ask(self, method: str, path: str, headers: Headers, *, secure: bool) -> tuple[Any, Any]:
        for client in (self.hot, self.long):
            # The browsable API's.
            client.cookies.clear()
        long, hot = (client.generic(method, path, headers=headers, secure=secure) for client in (self.long, self.hot))
        return comparable(long), comparable(hot)


@pytest.fixture
def ways(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Ways:
    # That of gunicorn, which no header breaks.
    monkeypatch.setattr("django.test.client.WSGIRequest", Request)
    monkeypatch.setattr(responses, "time", SimpleNamespace(time=lambda: 2_000_000_000.0))
    settings.SECURE_HSTS_SECONDS = 1000
    return Ways(settings, monkeypatch)


def comparable(response: Any) -> tuple[int, dict[str, str], bytes, str]:
    """Status, headers, body and cookies, without what differs from one request to the next."""
    headers = dict(response.headers)
    body = response.content
    if response.headers.get("Organization-Cache") != "hit":
        # Asked for once for each of the two.
        headers.pop("Organization-Fresh-At", None)
        headers.pop("Age", None)
    if "tmx-correlation-id-replaced" in headers:
        headers.pop("tmx-correlation-id")
        body = re.sub(rb'"correlationId": ?"[^"]+"', b"", body)
    if response.headers.get("Content-Type", "").startswith("text/html"):
        body = re.sub(rb"[A-Za-z0-9]{64}", b"", body)
    return response.status_code, headers, body, ",".join(sorted(response.cookies))


def generated(dice: random.Random, paths: list[str], values: dict[str, list[str]]) -> tuple[str, str, Headers, bool]:
    headers = {"host": "localhost", "tmx-correlation-id": f"c-{dice.random()}"}
    if "authorization" in values:
        headers["authorization"] = values["authorization"][0]
    if dice.random() < PLAIN:
        return "GET", paths[0], headers, dice.random() < 0.1
    for name in dice.sample(sorted(values), dice.choice([0, 1, 1, 2, 3])):
        headers[name] = dice.choice(values[name])
    if "authorization" in headers and dice.random() < 0.1:
        del headers["authorization"]
    method = dice.choice(["GET"] * 8 + ["HEAD", "OPTIONS"])
    return method, dice.choice(paths), headers, dice.random() < 0.1


def special_headers(etag: str, version: str) -> dict[str, list[str]]:
    return {
        "accept": [
            "*/*",
            "application/json",
            "application/hal+json",
            "text/html",
            "image/png",
            "application/json;q=0.5",
            "text/html, */*;q=0.1",
            "",
            "application/*",
            "a;b=c",
            "*/*, application/json",
        ],
        "accept-language": ["ko", "en", "ko;q=0.1, en", "xx", ""],
        "if-none-match": [etag, f"W/{etag}", "*", '"1-1-x"', "rubbish", f'"a", {etag}'],
        "if-match": [etag, "*", '"1"', "rubbish"],
        "if-modified-since": ["Sat, 29 Oct 1994 19:43:31 GMT"],
        "cache-control": ["no-cache", "max-age=0", "max-age=9", "min-fresh=1", "no-store", "rubbish", ""],
        "organization-min-version": [version, "1", str(10**12), "rubbish", ""],
        "cookie": ["licensing_session=rubbish", "a=b", "licensing_csrf=x"],
        "host": ["localhost", "testserver", "evil.example", "a b", "localhost:8080"],
        "content-type": ["application/json", "text/plain; charset=zlib", "text/plain; charset=latin-1"],
        "tmx-correlation-id": ["fixed", "not acceptable", "x" * 200],
        "tmx-user-id": ["me"],
        "transfer-encoding": ["chunked", "gzip"],
        "user-agent": ["curl/8"],
        "origin": ["https://evil.example"],
        "range": ["bytes=0-3"],
        "accept-encoding": ["gzip"],
        "x-forwarded-proto": ["https"],
        "x-http-method-override": ["DELETE"],
    }


@pytest.mark.parametrize("secured", [False, True])
def test_both_ways_answer_the_same(
    ways: Ways, license: License, licenses_url: str, tuned: Any, settings: Any, tmp_path: Path, secured: bool
) -> None:
    tuned(max_staleness_s=3600)
    settings.AUTH = None
    url = f"{licenses_url}/{license.license_id}"
    first = ways.long.get(url, headers={"host": "localhost"})
    paths = [url] * 6 + [
        f"{url}/",
        url.upper().replace("/V1/ORGANIZATION", "/v1/organization").replace("LICENSE/", "license/"),
    ]
    paths += [
        f"{url}?format=json",
        f"{url}?format=hal",
        f"{url}?",
        f"{url}?x=1",
        f"/{url}",
        f"{licenses_url}/{uuid.uuid4()}",
    ]
    paths += [f"/v1/organization/{uuid.uuid4()}/license/{license.license_id}", f"{licenses_url}/17", licenses_url, "/"]
    values = special_headers(first["ETag"], first["Organization-Version"])
    if secured:
        keys = tmp_path / "keys.json"
        keys.write_text(json.dumps({"keys": [public_jwk("first", FIRST_KEY)]}))
        settings.AUTH = AuthSettings("https://id.example.org", "ours", keys.as_uri())
        values["authorization"] = [f"Bearer {token}" for token in tokens()]
        values["authorization"] += [f"bearer  {tokens()[0]}", "Bearer", "Basic YTpi", "rubbish", ""]
    dice, answers = random.Random(85), 0
    for number in range(REQUESTS):
        method, path, headers, secure = generated(dice, paths, values)
        long, hot = ways.ask(method, path, headers, secure=secure)
        assert hot == long, (number, method, path, headers, secure)
        answers += hot[0] == 200 and "/license/" in path
    hot_answers = 2 * answers - ways.long_answers
    assert 0.5 * REQUESTS < hot_answers < 0.9 * REQUESTS


def tokens() -> list[str]:
    claims = Issuer("https://id.example.org").claims
    return [
        sign(claims(lifetime_s=3600)),
        sign(claims("USER", lifetime_s=3600)),
        sign(claims(lifetime_s=-3600)),
        sign(claims(aud="theirs")),
        sign(claims(), key=SECOND_KEY),
        "a.b.c",
    ]


def _deleted(license: License, _service: OrganizationService) -> None:
    license.delete()


def _renamed(license: License, _service: OrganizationService) -> None:
    License.objects.filter(pk=license.pk).update(product_name="Renamed")


def _evicted(_license: License, service: OrganizationService) -> None:
    service.put(NASA, contactName="Ada")
    lookup.current().cache.evict([Eviction(NASA, service.version)])


def _removed(_license: License, service: OrganizationService) -> None:
    service.remove(NASA)
    lookup.current().cache.evict([Eviction(NASA, service.version)])


@pytest.mark.parametrize("change", [_deleted, _renamed, _evicted, _removed])
def test_a_change_is_seen_by_the_next_lookup(
    ways: Ways,
    license: License,
    license_url: str,
    organization_service: OrganizationService,
    change: Callable[[License, OrganizationService], None],
) -> None:
    headers = {"host": "localhost", "tmx-correlation-id": "c"}
    for _ in range(3):
        before = ways.hot.get(license_url, headers=headers)
    # The first was a miss, and the second showed what the long way adds to an answer.
    assert ways.long_answers == 2
    change(license, organization_service)
    after, again = (comparable(ways.hot.get(license_url, headers=headers)) for _ in range(2))
    assert (after[0], after[2]) != (before.status_code, before.content)
    assert (again[0], again[2]) == (after[0], after[2])
    assert again == comparable(ways.long.get(license_url, headers=headers))
