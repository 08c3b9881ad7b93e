"""The writes. Each is one transaction, with its event in it."""

import uuid
from collections.abc import Callable, Mapping

from django.db import transaction

from organizations import events
from organizations.events import ActionEnum
from organizations.models import Organization

Guard = Callable[[int], None]
"""Given the version that is there, locked, it raises to forbid the write: no update is lost."""


def create_organization(*, values: Mapping[str, str]) -> Organization:
    """`values` are valid fields of the model; the id is made here."""
    organization = Organization(**values)
    organization.save(force_insert=True)
    return organization


@transaction.atomic
def update_organization(*, organization_id: uuid.UUID, values: Mapping[str, str], guard: Guard) -> Organization:
    """Raises Organization.DoesNotExist."""
    organization = _locked(organization_id, guard)
    for field, value in values.items():
        setattr(organization, field, value)
    organization.save(force_update=True)
    return organization


@transaction.atomic
def delete_organization(*, organization_id: uuid.UUID, guard: Guard) -> int:
    """The version of the deletion. Raises Organization.DoesNotExist."""
    organization = _locked(organization_id, guard)
    organization.delete()
    return organization.version


@transaction.atomic
def publish_read(organization: Organization) -> None:
    """Tell that somebody has read it."""
    events.publish(ActionEnum.GET, [(organization.pk, organization.version)], using="default")


def _locked(organization_id: uuid.UUID, guard: Guard) -> Organization:
    organization = Organization.objects.select_for_update().get(pk=organization_id)
    guard(organization.version)
    return organization
