"""50,000 header values, of which some travel on to the organization service; with and without an issuer."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from devstack.issuer import public_jwk
from licenses.models import License
from service_kit.auth import AuthSettings
from tests.licensing_project.organization_service import OrganizationService
from tests.security.issuer import FIRST_KEY
from tests.security.storm import storm


@pytest.mark.parametrize(("seed", "secured"), [(3, False), (4, True)])
def test_no_header_value_breaks_the_service(
    license: License,
    license_url: str,
    licenses_url: str,
    organization_service: OrganizationService,
    settings: Any,
    tmp_path: Path,
    seed: int,
    secured: bool,
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [public_jwk("first", FIRST_KEY)]}))
    settings.AUTH = AuthSettings("https://id.example.org", "ours", keys.as_uri()) if secured else None

    statuses = storm(
        [
            ("GET", license_url, b""),
            ("GET", licenses_url, b""),
            ("GET", f"{licenses_url}/{uuid.uuid4()}", b""),
            ("GET", f"/v1/organization/{uuid.uuid4()}/license", b""),
            ("PUT", f"{licenses_url}/{uuid.uuid4()}", b'{"productName": "Ostock"}'),
            ("PATCH", license_url, b'{"licenseType": ""}'),
            ("DELETE", f"{licenses_url}/{uuid.uuid4()}", b""),
            ("POST", licenses_url, b"{"),
            ("OPTIONS", license_url, b""),
            ("GET", "/admin/", b""),
        ],
        seed=seed,
        values=25_000,
    )

    assert {302, 400, 406} <= set(statuses)
    assert (401 if secured else 200) in statuses
    for path, headers in organization_service.requests:
        assert path.startswith("/v1/organization/")
        assert "x-injected" not in headers
