"""Signal handlers that emit an event for each save and deletion, in its own transaction.

Fixtures (`loaddata`, `raw=True`) emit events like any other write, because readers may have cached old rows.
"""

from typing import Any

from django.db import connections
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from organizations import events
from organizations.events import ActionEnum
from organizations.models import Organization


@receiver(post_save, sender=Organization)
def emit_saved_event(instance: Organization, created: bool, using: str, **_kwargs: Any) -> None:
    action = ActionEnum.CREATED if created else ActionEnum.UPDATED
    events.publish(action, [(instance.pk, instance.version)], using=using)


@receiver(post_delete, sender=Organization)
def emit_deleted_event(instance: Organization, using: str, **_kwargs: Any) -> None:
    # Above the last version, like the trigger of an UPDATE. If `instance` is so old that this is not enough (and the
    # clock has gone back), `MissingEventTrigger` emits the deletion once more.
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT GREATEST(%s + 1, floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint)",
            [instance.version],
        )
        (instance.version,) = cursor.fetchone()
    events.publish(ActionEnum.DELETED, [(instance.pk, instance.version)], using=using)
