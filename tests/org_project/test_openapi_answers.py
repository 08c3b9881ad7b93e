"""Whatever a caller does, the answer is one that the OpenAPI document has, of the shape that it says."""

import pytest
from django.test import Client

from organizations.models import Organization
from tests.openapi_answers import check_every_answer


@pytest.mark.django_db(transaction=True)
def test_every_answer_is_documented(api: Client) -> None:
    organization = Organization.objects.create(name="A")

    met = check_every_answer(api, {"organizationId": str(organization.pk)}, {"name": "B"})

    assert met["organizationList"] >= {200, 400, 404, 406, 413, 415}
    assert met["organizationCreate"] >= {201, 400, 406, 411, 412, 413, 415, 501}
    assert met["organizationRetrieve"] >= {200, 304, 400, 404, 406, 412, 415}
    for write in ("organizationUpdate", "organizationPartialUpdate"):
        assert met[write] >= {200, 400, 404, 406, 411, 412, 413, 415, 501}, write
    assert met["organizationDelete"] >= {204, 400, 404, 412, 415}


def test_what_a_client_has_to_know_is_documented(api: Client) -> None:
    document = api.get("/openapi.json").json()
    names = {each["name"]: each for each in document["paths"]["/v1/organization"]["get"]["parameters"]}
    assert {"page", "size", "search"} <= set(names)
    assert names["size"]["schema"]["maximum"] == 200
    listed = document["paths"]["/v1/organization"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert listed["$ref"].startswith("#/components/schemas/Paginated")
    for name in ("OrganizationRequest", "PatchedOrganizationRequest"):
        assert document["components"]["schemas"][name]["additionalProperties"] is False
    for path in document["paths"].values():
        for method, operation in path.items():
            if not operation["operationId"].startswith("organization"):
                continue
            conditions = {each["name"] for each in operation["parameters"]} & {"If-Match", "If-None-Match"}
            assert len(conditions) == 2 or operation["operationId"] == "organizationList", method
