"""Whatever stands for an organization's id, licensing asks for nothing but /v1/organization/<one id>."""

import re
from urllib.parse import quote

import pytest
from django.test import Client

from event_stream.clock import SystemClock
from organization_lookup.client import OrganizationClient
from organization_lookup.handlers import canonical_id
from tests.licensing_project.organization_service import NASA, OrganizationService

HOSTILE = [
    "..",
    "../../admin/",
    "%2e%2e/%2e%2e/admin",
    "%252e%252e",
    f"{NASA}/../../../admin",
    f"{NASA}/extra",
    f"{NASA}?x=1",
    f"{NASA}#x",
    f"{NASA}%00",
    f"{NASA}\r\nX-Injected: yes",
    f"{NASA}\n",
    f" {NASA}",
    "@evil.example",
    f"evil.example@{NASA}",
    "http://evil.example/",
    "//evil.example",
    "\\\\evil.example",
    ":8080",
    "{" + NASA + "}",
    f"urn:uuid:{NASA}",
    NASA.replace("-", ""),
    "\N{FULLWIDTH DIGIT ONE}" + NASA[1:],
    "",
    ".",
    "a" * 5000,
]
ASKED = re.compile(r"/v1/organization/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.mark.parametrize("identity", HOSTILE)
@pytest.mark.parametrize("spelling", [quote, lambda text: quote(text, safe="/%?#@:")], ids=["quoted", "raw"])
def test_by_the_api(organization_service: OrganizationService, db: None, identity: str, spelling: object) -> None:
    assert callable(spelling)
    path = f"/v1/organization/{spelling(identity)}/license"

    read = Client().get(path, headers={"Cache-Control": "no-cache"})
    written = Client().post(path, b'{"productName": "Ostock", "licenseType": "full"}', "application/json")

    assert {read.status_code, written.status_code} <= {400, 404, 405}
    assert [asked for asked, _headers in organization_service.requests if not ASKED.fullmatch(asked)] == []


@pytest.mark.parametrize("identity", HOSTILE)
def test_by_whoever_calls_the_client(organization_service: OrganizationService, identity: str) -> None:
    client = OrganizationClient(organization_service.url, connect_timeout_s=1, read_timeout_s=5, clock=SystemClock())
    with pytest.raises(ValueError, match="no organization's id"):
        client.get(identity, 5)
    client.close()
    assert organization_service.requests == []


@pytest.mark.parametrize("identity", HOSTILE)
def test_by_a_message(identity: str) -> None:
    """What a foreign producer names is an id, written as the services write it, or nothing at all."""
    id = canonical_id(identity)
    assert id is None or re.fullmatch(ASKED.pattern.rpartition("/")[2], id)
