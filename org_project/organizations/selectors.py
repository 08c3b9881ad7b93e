"""Functions that read organizations."""

import functools
import operator
import uuid
from datetime import UTC, datetime, timedelta

from django.db.models import Exists, Max, Q, QuerySet

from event_stream.outbox.models import OutboxEntry
from event_stream.outbox.settings import outbox_settings
from organizations import events
from organizations.models import Organization
from service_kit.text import normalized, spellings


def organizations(*, search: str = "") -> QuerySet[Organization]:
    """Return the organizations whose name or contact has every word of `search`, by name."""
    return Organization.objects.filter(*map(_has_word, normalized(search).split()))


def _has_word(word: str) -> Q:
    searched = ("name", "contact_name", "contact_email")
    conditions = (Q((f"{field}__icontains", spelling)) for spelling in spellings(word) for field in searched)
    return functools.reduce(operator.or_, conditions)


def organization(organization_id: uuid.UUID) -> Organization:
    """Raises Organization.DoesNotExist."""
    return Organization.objects.get(pk=organization_id)


def absence_version(organization_id: uuid.UUID) -> int:
    """Return a version for the absence of an organization: above its past versions, below those of any later creation.

    While the outbox keeps the deletion's entry, this is the deletion's version. One snapshot covers both reads, so it
    is never a later creation's version. Afterwards it is the highest version that a purged entry can have. The clock
    would be wrong: a concurrent creation may have a lower version, and a reader that kept "absent" under the clock's
    version would ignore the event of that creation.
    """
    existing = Organization.objects.filter(pk=organization_id)
    entries = OutboxEntry.objects.filter(~Exists(existing), binding=events.BINDING, key=str(organization_id))
    last: int | None = entries.aggregate(last=Max("version"))["last"]
    retention = timedelta(hours=outbox_settings().retention_hours)
    return last or int((datetime.now(UTC) - retention).timestamp() * 1_000_000)
