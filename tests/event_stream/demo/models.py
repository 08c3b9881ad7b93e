"""A versioned table that tells of its changes, as a service's own would."""

from typing import Any

from django.db import models, transaction

from event_stream.messaging.message import Message
from event_stream.outbox import emit
from event_stream.outbox.triggers import (
    CORRELATION_ID,
    EVENT_ID,
    KEY,
    OCCURRED_AT,
    VERSION,
    MissingEventTrigger,
    TruncateTrigger,
    Versioned,
    by_operation,
    column,
    literal,
)

BINDING = "outboundWidgets"
PAYLOAD_SQL = {
    "type": literal("demo.Widget's change"),
    "action": by_operation(insert="CREATED", update="UPDATED", delete="DELETED"),
    "widgetId": KEY,
    "name": column("name"),
    "correlationId": CORRELATION_ID,
    "version": VERSION,
    "eventId": EVENT_ID,
    "occurredAt": OCCURRED_AT,
}


class Widget(models.Model):
    """`save` and `delete` emit; everything else is left to the guard."""

    id = models.CharField(primary_key=True, max_length=64)
    name = models.TextField(db_default="")
    version = models.BigIntegerField(db_default=0, editable=False)

    class Meta:
        triggers = [
            Versioned(),
            MissingEventTrigger(binding=BINDING, payload_sql=PAYLOAD_SQL),
            TruncateTrigger(binding=BINDING, payload_sql=PAYLOAD_SQL),
        ]

    def __str__(self) -> str:
        return self.id

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            action = "CREATED" if self._state.adding else "UPDATED"
            super().save(*args, **kwargs)
            self.refresh_from_db(fields=["version"])
            self._emit(action, self.version)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            self._emit("DELETED", self.version + 1)
            return super().delete(*args, **kwargs)

    def _emit(self, action: str, version: int) -> None:
        message = Message({"action": action, "widgetId": self.id, "name": self.name, "version": version}, key=self.id)
        emit(BINDING, message, version=version)


def heartbeat(as_of_us: int) -> dict[str, Any]:
    """The heartbeat of the demo's binding."""
    return {"asOf": as_of_us}
