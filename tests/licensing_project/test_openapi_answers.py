"""Whatever a caller does, the answer is one that the OpenAPI document has, of the shape that it says."""

import pytest
from django.test import Client

from licenses.models import License
from tests.licensing_project.organization_service import NASA
from tests.openapi_answers import check_every_answer


@pytest.mark.django_db
def test_every_answer_is_documented(api: Client, license: License) -> None:
    identifiers = {"organizationId": NASA, "licenseId": str(license.license_id)}

    met = check_every_answer(api, identifiers, {"productName": "A", "licenseType": "B"})

    assert met["listLicenses"] >= {200, 400, 404, 406, 412, 415}
    assert met["createLicense"] >= {201, 400, 404, 406, 411, 412, 413, 415, 501}
    assert met["getLicense"] >= {200, 304, 400, 404, 406, 412, 415}
    for write in ("updateLicense", "patchLicense"):
        assert met[write] >= {200, 400, 404, 406, 411, 412, 413, 415, 501}, write
    assert met["deleteLicense"] >= {204, 400, 404, 412, 415}
    document = api.get("/openapi.json").json()
    for name in ("LicenseRequest", "PatchedLicenseRequest"):
        assert document["components"]["schemas"][name]["additionalProperties"] is False
