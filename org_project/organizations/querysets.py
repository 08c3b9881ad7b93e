"""Bulk writes, which send no signals: each emits the events of the rows it has written, in its own transaction."""

import uuid
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from django.db import models, transaction

from event_stream.outbox.models import OutboxEntry
from organizations import events
from organizations.events import ActionEnum

if TYPE_CHECKING:
    from organizations.models import Organization

CHUNK = 1_000
"""Rows that are locked, written and told of at a time."""


class OrganizationQuerySet(models.QuerySet["Organization"]):
    """Chunks are taken in the order of the ids, so that two bulk writes wait for each other and never deadlock."""

    def update(self, **kwargs: Any) -> int:
        """`bulk_update` comes through here too."""
        self._for_write = True
        updated = 0
        with transaction.atomic(using=self.db, savepoint=False):
            for ids in self._locked():
                updated += super(OrganizationQuerySet, self.filter(pk__in=ids)).update(**kwargs)
                events.publish(ActionEnum.UPDATED, self._versions(ids), using=self.db)
        return updated

    update.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        """`post_delete` tells of each: what is locked here is still there when the signal is sent."""
        self._for_write = True
        deleted = 0
        with transaction.atomic(using=self.db, savepoint=False):
            for ids in self._locked():
                deleted += super(OrganizationQuerySet, self.filter(pk__in=ids)).delete()[0]
        return deleted, {self.model._meta.label: deleted} if deleted else {}

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_create(  # noqa: PLR0917 - Django's own
        self,
        objs: Iterable["Organization"],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> "list[Organization]":
        self._for_write = True
        objs = list(objs)
        with transaction.atomic(using=self.db, savepoint=False):
            there = self._there(objs) if ignore_conflicts or update_conflicts else set()
            super().bulk_create(
                objs,
                batch_size=batch_size or CHUNK,
                ignore_conflicts=ignore_conflicts,
                update_conflicts=update_conflicts,
                update_fields=update_fields,
                unique_fields=unique_fields,
            )
            # Where conflicts are ignored the rows are not handed back; otherwise each object has its new version.
            written = self._inserted(objs, there) if ignore_conflicts else [(each.pk, each.version) for each in objs]
            created = [pair for pair in written if pair[0] not in there]
            updated = [pair for pair in written if pair[0] in there]
            events.publish(ActionEnum.CREATED, created, using=self.db)
            events.publish(ActionEnum.UPDATED, updated, using=self.db)
        return objs

    bulk_create.alters_data = True  # type: ignore[attr-defined]

    def _locked(self) -> Iterator[list[uuid.UUID]]:
        """The ids of the rows, locked, a chunk at a time. What becomes of a chunk does not change the later ones."""
        rows = self.order_by("pk").select_for_update()
        ids = list(rows.values_list("pk", flat=True)[:CHUNK])
        while ids:
            yield ids
            ids = list(rows.filter(pk__gt=ids[-1]).values_list("pk", flat=True)[:CHUNK])

    def _versions(self, ids: Iterable[uuid.UUID]) -> "models.QuerySet[Organization, tuple[uuid.UUID, int]]":
        rows = self.model._base_manager.using(self.db).filter(pk__in=ids)
        return rows.order_by("pk").values_list("pk", "version")

    def _there(self, objs: Iterable["Organization"]) -> set[uuid.UUID]:
        """Which of the ids exist; locked, so that they stay."""
        return set(self._versions([each.pk for each in objs]).select_for_update().values_list("pk", flat=True))

    def _inserted(self, objs: Iterable["Organization"], there: set[uuid.UUID]) -> list[tuple[uuid.UUID, int]]:
        pairs = [pair for pair in self._versions([each.pk for each in objs]) if pair[0] not in there]
        # A row that another transaction inserted since we looked is not ours, and has its event.
        told = OutboxEntry.objects.using(self.db).filter(
            binding=events.BINDING, key__in=[str(pk) for pk, _ in pairs], version__in=[version for _, version in pairs]
        )
        others = set(told.values_list("key", "version"))
        return [(pk, version) for pk, version in pairs if (str(pk), version) not in others]
