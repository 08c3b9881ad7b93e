"""`manage.py load_sample_data`"""

from io import StringIO
from uuid import NAMESPACE_URL, uuid5

import pytest
from django.core.management import CommandError, call_command

from licenses.models import License
from licenses.sample_data import ORGANIZATIONS

pytestmark = pytest.mark.django_db


def load(*arguments: str) -> str:
    out = StringIO()
    call_command("load_sample_data", *arguments, stdout=out)
    return out.getvalue().strip()


def test_two_licenses_for_each_organization_under_ids_that_never_change() -> None:
    assert load() == "20 licenses, 20 of them new"
    for slug in ORGANIZATIONS:
        organization_id = uuid5(NAMESPACE_URL, f"https://example.org/organizations/{slug}")
        ids = set(License.objects.filter(organization_id=organization_id).values_list("license_id", flat=True))
        assert ids == {uuid5(NAMESPACE_URL, f"https://example.org/licenses/{slug}-{number}") for number in (1, 2)}


def test_loading_again_changes_nothing() -> None:
    load("--generate", "25")
    License.objects.filter(product_name="Ostock").update(comment="mine")
    assert load("--generate", "25") == "45 licenses, 0 of them new"
    assert load("--generate", "1500") == "1520 licenses, 1475 of them new"
    assert License.objects.filter(comment="mine").exists()


@pytest.mark.parametrize("amount", ["-1", "many", "1.5"])
def test_an_amount_that_is_none_is_refused(amount: str) -> None:
    with pytest.raises(CommandError, match="should be a number of licenses"):
        load("--generate", amount)
