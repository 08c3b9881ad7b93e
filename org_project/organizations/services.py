"""Functions that write organizations. Each is one transaction, with its event in it."""

import uuid
from collections.abc import Callable, Mapping

from django.db import transaction

from event_stream.retry import rerun_on_conflict
from organizations import events
from organizations.events import ActionEnum
from organizations.models import Organization

Guard = Callable[[int], None]
"""Receives the current version of the locked row, and raises to reject the write."""


@rerun_on_conflict
def create_organization(*, values: Mapping[str, str]) -> Organization:
    """Create an organization with a new id. `values` are validated fields of the model."""
    organization = Organization(**values)
    organization.save(force_insert=True)
    return organization


@rerun_on_conflict
@transaction.atomic
def update_organization(*, organization_id: uuid.UUID, values: Mapping[str, str], guard: Guard) -> Organization:
    """Update an organization. Raises Organization.DoesNotExist."""
    organization = _locked(organization_id, guard)
    for field, value in values.items():
        setattr(organization, field, value)
    organization.save(force_update=True)
    return organization


@rerun_on_conflict
def replace_organization(*, organization_id: uuid.UUID, values: Mapping[str, str]) -> Organization:
    """Update an organization without looking at it. `values` has each field. Raises Organization.DoesNotExist."""
    organization = Organization(pk=organization_id, **values)
    organization.save(force_update=True)
    return organization


@rerun_on_conflict
@transaction.atomic
def delete_organization(*, organization_id: uuid.UUID, guard: Guard) -> int:
    """Delete an organization; return the deletion's version. Raises Organization.DoesNotExist."""
    organization = _locked(organization_id, guard)
    organization.delete()
    return organization.version


@rerun_on_conflict
@transaction.atomic
def publish_read(organization: Organization) -> None:
    """Emit an event that says that the organization was read."""
    events.publish(ActionEnum.GET, [(organization.pk, organization.version)], using="default")


def _locked(organization_id: uuid.UUID, guard: Guard) -> Organization:
    organization = Organization.objects.select_for_update().get(pk=organization_id)
    guard(organization.version)
    return organization
