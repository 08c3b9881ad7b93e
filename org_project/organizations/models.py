"""The organization model. Every write emits an event."""

import functools
import uuid
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import pgtrigger
from django.db import connections, models, router, transaction
from django.utils.translation import gettext_lazy as _

from event_stream.outbox import triggers
from organizations import events
from organizations.querysets import OrganizationQuerySet
from organizations.validators import EMAIL_LENGTH, NAME_LENGTH, PHONE_LENGTH, validate_one_line, validate_phone
from service_kit.text import normalize_fields


@functools.cache
def _update_sql(columns: tuple[str, ...]) -> str:
    assignments = ", ".join(f"{column} = %s" for column in columns)
    return f"UPDATE organizations_organization SET {assignments} WHERE id = %s RETURNING version"  # noqa: S608


class Organization(models.Model):
    """An organization, which licensing merges into each license. Each write emits its event in its transaction."""

    id = models.UUIDField(_("id"), primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=NAME_LENGTH, validators=[validate_one_line])
    contact_name = models.CharField(
        _("contact name"), max_length=NAME_LENGTH, blank=True, default="", validators=[validate_one_line]
    )
    contact_email = models.EmailField(
        _("contact e-mail"), max_length=EMAIL_LENGTH, blank=True, default="", validators=[validate_one_line]
    )
    contact_phone = models.CharField(
        _("contact phone"), max_length=PHONE_LENGTH, blank=True, default="", validators=[validate_phone]
    )
    # Set by the trigger. INSERT returns it, because it has a default in the database.
    version = models.BigIntegerField(_("version"), db_default=0, editable=False)

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        verbose_name = _("organization")
        verbose_name_plural = _("organizations")
        ordering: ClassVar = ["name", "id"]
        indexes: ClassVar = [models.Index(fields=["name", "id"], name="organization_by_name")]
        triggers: ClassVar[list[pgtrigger.Trigger]] = [
            triggers.Versioned(),
            triggers.MissingEventTrigger(binding=events.BINDING, payload_sql=events.PAYLOAD_SQL),
            triggers.TruncateTrigger(binding=events.BINDING, payload_sql=events.PAYLOAD_SQL),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save atomically, so that the row and the event that `post_save` writes are kept or lost together."""
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using, savepoint=False):
            super().save(*args, **kwargs)

    def _do_update(  # type: ignore[override] # noqa: PLR0917 - the stubs are those of a later Django
        self,
        base_qs: models.QuerySet["Organization"],
        using: str,
        pk_val: uuid.UUID,
        values: "Sequence[tuple[models.Field[Any, Any], None, Any]]",
        update_fields: Collection[str] | None,
        forced_update: bool,
    ) -> bool:
        """Set the version that the trigger has given the row, too: Django's UPDATE returns nothing."""
        connection = connections[using]
        columns = {field: value for field, _, value in values if field.attname != "version"}
        if not columns or any(hasattr(value, "resolve_expression") for value in columns.values()):
            is_updated = super()._do_update(base_qs, using, pk_val, values, update_fields, forced_update)  # type: ignore[call-arg]
            if is_updated:
                self.refresh_from_db(using=using, fields=["version"])
            return bool(is_updated)
        with connection.cursor() as cursor:
            cursor.execute(
                _update_sql(tuple(field.attname for field in columns)),
                [*(field.get_db_prep_save(value, connection) for field, value in columns.items()), pk_val],
            )
            row = cursor.fetchone()
        if row is None:
            if forced_update:
                raise self.DoesNotExist(f"There is no organization {pk_val}.")
            return False
        (self.version,) = row
        return True

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete atomically. If the row is already gone, do nothing and emit no event."""
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using, savepoint=False):
            if not type(self)._base_manager.using(using).select_for_update().filter(pk=self.pk).exists():
                return 0, {}
            return super().delete(*args, **kwargs)

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        normalize_fields(self)
        super().clean_fields(exclude)
