"""No parameter of a query costs more than a bounded query of the database."""

import uuid

import pytest
from django.test import Client

from tests.licensing_project.organization_service import NASA
from tests.query_parameters import check_every_parameter

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("organization_service")]


def test_no_parameter_has_an_unbounded_cost(admin_client: Client) -> None:
    check_every_parameter(admin_client, {"organization_id": NASA, "license_id": str(uuid.uuid4())})
