"""Deletions of the same licenses at once wait for each other, in the order of ids."""

import uuid

import pytest
from django.contrib.auth.models import User
from django.test import Client

from licenses.models import License
from tests.event_stream.row_locks import free_rows
from tests.licensing_project.organization_service import NASA

pytestmark = pytest.mark.django_db(transaction=True)


def test_of_selected_licenses_the_lowest_id_is_locked_first(api: Client) -> None:
    ids = sorted(uuid.uuid4() for _ in range(5))
    # A scan of the table meets the highest first.
    for id in reversed(ids):
        License.objects.create(license_id=id, organization_id=NASA, product_name="P", license_type="T")
    api.force_login(User.objects.create_superuser("admin"))
    form = {"action": "delete_selected", "_selected_action": [str(id) for id in ids], "post": "yes"}

    free = free_rows(
        lambda: api.post("/admin/licenses/license/", form), table="licenses_license", key="license_id", held=ids[0]
    )

    assert free == ids
    assert not License.objects.exists()
