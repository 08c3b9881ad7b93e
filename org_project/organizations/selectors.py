"""The reads."""

import uuid
from datetime import UTC, datetime, timedelta

from django.db.models import Exists, Max, Q, QuerySet

from event_stream.outbox.models import OutboxEntry
from event_stream.outbox.settings import outbox_settings
from organizations import events
from organizations.models import Organization


def organizations(*, search: str = "") -> QuerySet[Organization]:
    """All whose name or contact has every word of `search`, by name."""
    found = Organization.objects.all()
    for word in search.split():
        found = found.filter(
            Q(name__icontains=word) | Q(contact_name__icontains=word) | Q(contact_email__icontains=word)
        )
    return found


def organization(organization_id: uuid.UUID) -> Organization:
    """Raises Organization.DoesNotExist."""
    return Organization.objects.get(pk=organization_id)


def absence_version(organization_id: uuid.UUID) -> int:
    """The version of there being no such organization: above all that it ever had, below those of any later creation.

    Not the clock: a creation that is under way has a version from before now, and a reader that kept our "absent"
    under a later one would take the event of that creation for old news. It is the deletion's version while the outbox
    remembers it, read in the same snapshot in which the organization is absent, and so not a later creation's. Beyond
    the outbox' retention it is the latest that a forgotten version can have been.
    """
    there = Organization.objects.filter(pk=organization_id)
    told = OutboxEntry.objects.filter(~Exists(there), binding=events.BINDING, key=str(organization_id))
    last: int | None = told.aggregate(last=Max("version"))["last"]
    remembered = timedelta(hours=outbox_settings().retention_hours)
    return last or int((datetime.now(UTC) - remembered).timestamp() * 1_000_000)
