"""Text in NFC and in NFD is the same text, whichever way it comes in and is looked for."""

import unicodedata

import pytest
from django.contrib.auth.models import User
from django.test import Client

from licenses.models import License
from tests.licensing_project.organization_service import NASA, OrganizationService

NFC, NFD = (unicodedata.normalize(form, "Société Müller 서울") for form in ("NFC", "NFD"))
LIST = "/admin/licenses/license/"

pytestmark = pytest.mark.django_db


def test_the_admin_normalizes_and_finds_each_form(api: Client, organization_service: OrganizationService) -> None:
    api.force_login(User.objects.create_superuser("admin", "admin@example.org"))
    form = {"organization_id": NASA, "product_name": NFD, "license_type": "T", "description": NFD, "comment": ""}
    assert api.post(f"{LIST}add/", form).status_code == 302
    license = License.objects.get()
    assert (license.product_name, license.description) == (NFC, NFC)
    page = api.post(f"{LIST}add/", form | {"product_name": "\u200b"})
    assert page.context["adminform"].form.errors == {"product_name": ["This field cannot be blank."]}

    for stored in (NFC, NFD):
        License.objects.update(product_name=stored, description="")
        for search in (NFC, NFD):
            assert api.get(LIST, {"q": search}).context["cl"].result_count == 1
