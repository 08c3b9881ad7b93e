"""Bulk actions of the admin with "select all", over more licenses than a form may have fields."""

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from licenses.models import License
from tests.confirmation_pages import confirm, said, select_all

pytestmark = pytest.mark.django_db(transaction=True)
LIST = "/admin/licenses/license/"


def test_select_all_deletes_more_licenses_than_a_form_may_have_fields(admin_client: Client, settings: Any) -> None:
    count = 1_154
    assert count > settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
    License.objects.bulk_create(
        [License(organization_id=uuid4(), product_name=f"P{number}", license_type="T") for number in range(count)]
    )
    settings.ALLOWED_HOSTS = ["testserver"]
    ticked = [str(pk) for pk in License.objects.values_list("pk", flat=True)[:50]]

    page = select_all(admin_client, LIST, "delete_selected", ticked)

    assert page.content.decode().count("hidden") < 20
    assert said(confirm(admin_client, LIST, page)) == [f"Successfully deleted {count} licenses."]
    assert not License.objects.exists()
