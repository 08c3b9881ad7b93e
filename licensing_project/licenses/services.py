"""Writes of licenses."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from event_stream.retry import rerun_on_conflict
from licenses.models import License

Check = Callable[[int], None]
"""Called with the version that is about to be overwritten, under a lock; raises to leave it as it is."""


@rerun_on_conflict
def create_license(*, organization_id: UUID, fields: Mapping[str, Any]) -> License:
    """`fields` are checked attributes of a License; its id is made here. The version is the database's."""
    license = License(organization_id=organization_id, **fields)
    with transaction.atomic():
        license.save(force_insert=True)
        license.refresh_from_db(fields=["version"])
    return license


@rerun_on_conflict
def update_license(*, organization_id: UUID, license_id: UUID, fields: Mapping[str, Any], check: Check) -> License:
    """Raises License.DoesNotExist, or what `check` raises."""
    with transaction.atomic():
        license = _locked(organization_id, license_id)
        check(license.version)
        for name, value in fields.items():
            setattr(license, name, value)
        license.save(update_fields=list(fields))
        license.refresh_from_db(fields=["version"])
    return license


@rerun_on_conflict
def delete_license(*, organization_id: UUID, license_id: UUID, check: Check) -> None:
    """Raises License.DoesNotExist, or what `check` raises."""
    with transaction.atomic():
        license = _locked(organization_id, license_id)
        check(license.version)
        license.delete()


@rerun_on_conflict
def delete_licenses(licenses: QuerySet[License]) -> None:
    """Delete all of them or none, locked in the order of ids, so that two such deletions never deadlock."""
    with transaction.atomic():
        ids = list(licenses.order_by("pk").select_for_update().values_list("pk", flat=True))
        License.objects.filter(pk__in=ids).delete()


def _locked(organization_id: UUID, license_id: UUID) -> License:
    return License.objects.select_for_update().get(license_id=license_id, organization_id=organization_id)
