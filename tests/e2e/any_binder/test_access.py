"""Access to a running platform whose cache is warm: only callers who could ask the owner get an answer."""

from pathlib import Path

import httpx
import pytest

from tests.e2e.world import Customer, World


@pytest.fixture
def customer(world: World) -> Customer:
    return world.customer()


def ask_as(world: World, customer: Customer, instance: int, **headers: str) -> httpx.Response:
    """As somebody else than the world's own client."""
    return httpx.get(world.platform.licensing_urls[instance] + customer.license, headers=headers, timeout=20)


def test_a_hit_is_for_those_who_could_have_asked_themselves(world: World, customer: Customer) -> None:
    expired = world.platform.authorization("ADMIN", exp=1)
    another = world.platform.authorization("ADMIN", aud="another-service")
    for instance, _lookup in enumerate(world.cached(customer)):
        for stranger in ({}, expired, another):
            refused = ask_as(world, customer, instance, **stranger)
            assert refused.status_code == 401
            assert refused.headers["Content-Type"] == "application/problem+json"
            assert not [name for name in refused.headers if name.startswith("organization-")]
            assert "Ann" not in refused.text
        reader = world.platform.authorization(sub="reader")
        answer = ask_as(world, customer, instance, **reader)
        assert (answer.status_code, answer.headers["Organization-Cache"]) == (200, "hit")
        # The owner would have said the same to him.
        owner = httpx.get(world.platform.organization_url + customer.path, headers=reader, timeout=20)
        assert owner.json()["contactName"] == answer.json()["contactName"] == "Ann"


def test_on_a_miss_the_callers_own_token_travels_on(world: World, customer: Customer) -> None:
    """Licensing's own would be refused."""
    own_token = Path(world.platform.licensing_settings["ORGANIZATION_TOKEN_FILE"])
    good = own_token.read_text()
    own_token.write_text("a.b.c")
    try:
        answer = ask_as(world, customer, 0, **world.platform.authorization(), **{"Cache-Control": "no-cache"})
    finally:
        own_token.write_text(good)
    assert (answer.status_code, answer.headers["Organization-Cache"]) == (200, "miss")
