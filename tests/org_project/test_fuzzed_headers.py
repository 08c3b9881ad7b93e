"""50,000 header values, with and without an issuer whose tokens are believed."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from devstack.issuer import public_jwk
from organizations.models import Organization
from service_kit.auth import AuthSettings
from tests.org_project.conftest import url_of
from tests.security.issuer import FIRST_KEY
from tests.security.storm import storm


@pytest.mark.parametrize(("seed", "secured"), [(1, False), (2, True)])
def test_no_header_value_breaks_the_service(
    organization: Organization, settings: Any, tmp_path: Path, seed: int, secured: bool
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [public_jwk("first", FIRST_KEY)]}))
    settings.AUTH = AuthSettings("https://id.example.org", "ours", keys.as_uri()) if secured else None

    statuses = storm(
        [
            ("GET", url_of(organization), b""),
            ("GET", "/v1/organization?size=1", b""),
            ("PUT", url_of(uuid.uuid4()), b'{"name": "Acme"}'),
            ("PATCH", url_of(organization), b'{"name": ""}'),
            ("DELETE", url_of(uuid.uuid4()), b""),
            ("OPTIONS", url_of(organization), b""),
            ("POST", "/v1/organization", b"{"),
            ("GET", "/health/live", b""),
            ("GET", "/admin/", b""),
        ],
        seed=seed,
        values=25_000,
    )

    # They got as far as they could.
    assert {200, 302, 400, 406} <= set(statuses)
    assert (401 if secured else 404) in statuses
