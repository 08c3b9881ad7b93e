"""Pausing and resuming partitions and bindings: the rows that workers follow."""

import logging

from django.db import Error, transaction

from event_stream.consumer.pauses import NO_PAUSES, Pauses, pauses
from event_stream.operations.models import Pause

logger = logging.getLogger("event_stream.operations")


def pause(binding: str, partition: int | None, reason: str = "") -> bool:
    """Return False where it was paused already. None stands for the whole binding."""
    _, created = Pause.objects.get_or_create(binding=binding, partition=partition, defaults={"reason": reason})
    return created


def resume(binding: str, partition: int | None) -> bool:
    """Return False where nothing was paused. With None, everything of the binding goes on."""
    paused = Pause.objects.filter(binding=binding)
    with transaction.atomic():
        count, _ = (paused if partition is None else paused.filter(partition=partition)).delete()
    return count > 0


def read_pauses(binding: str) -> Pauses:
    return pauses(Pause.objects.filter(binding=binding).values_list("partition", flat=True))


def known_pauses(binding: str) -> Pauses:
    """For those that have to go on without the database: it is then as if nothing were paused."""
    try:
        return read_pauses(binding)
    except Error as error:
        logger.info("operations.pauses_unknown", extra={"binding": binding, "error": str(error)})
        return NO_PAUSES
