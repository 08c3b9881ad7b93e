"""Names in NFC and in NFD are the same name, whichever way they come in and are looked for."""

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.management import call_command
from django.test import Client

from organizations.models import Organization

NFC, NFD = (unicodedata.normalize(form, "Société Müller 서울") for form in ("NFC", "NFD"))
ZERO_WIDTH = "\u200b"
LIST = "/admin/organizations/organization/"

pytestmark = pytest.mark.django_db(transaction=True)


def form_of(**values: Any) -> dict[str, Any]:
    return {"name": "A", "contact_name": "", "contact_email": "", "contact_phone": "", **values}


@pytest.mark.parametrize("stored", [NFC, NFD])
def test_each_form_is_found_by_each(boss: Client, stored: str) -> None:
    # As SQL writes it, or this service did before.
    organization = Organization.objects.create(name="A", contact_name=stored)
    for search in (NFC, NFD, NFC.split()[2], NFD.split()[1]):
        found = boss.get("/v1/organization", {"search": search}).json()["results"]
        assert [each["id"] for each in found] == [str(organization.pk)]
        assert boss.get(LIST, {"q": search}).context["cl"].result_count == 1
    assert boss.get("/v1/organization", {"search": "Meier\u0308"}).json()["count"] == 0


def test_the_admin_normalizes(boss: Client) -> None:
    boss.post(f"{LIST}add/", form_of(name=NFD, contact_name=NFD))
    organization = Organization.objects.get()
    assert (organization.name, organization.contact_name) == (NFC, NFC)
    page = boss.post(f"{LIST}add/", form_of(name=ZERO_WIDTH))
    assert page.context["adminform"].form.errors == {"name": ["This field cannot be blank."]}
    action = {"action": "set_contact", ACTION_CHECKBOX_NAME: str(organization.pk), "apply": "1"}
    boss.post(LIST, {**action, "contact_name": ZERO_WIDTH, "contact_email": "a@example.org", "contact_phone": ""})
    organization.refresh_from_db()
    assert (organization.contact_name, organization.contact_email) == (NFC, "a@example.org")
    boss.post(LIST, {**action, "contact_name": f"{NFD}!", "contact_email": "", "contact_phone": ""})
    organization.refresh_from_db()
    assert organization.contact_name == f"{NFC}!"


def test_an_import_normalizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "organizations.csv"
    file.write_text(f"name,contactName\n{NFD},{NFD}\n{ZERO_WIDTH},A\n", encoding="utf-8")
    with pytest.raises(SystemExit):
        call_command("import_organizations", str(file))
    organization = Organization.objects.get()
    assert (organization.name, organization.contact_name) == (NFC, NFC)
    assert "line 3: name: This field cannot be blank." in capsys.readouterr().err
