"""`assert_emits`: what a block of a test has to have sent, or written into the outbox.

    with assert_emits("outboundOrders"):                              one message, whatever it says
    with assert_emits("outboundOrders", count=3):
    with assert_emits("outboundOrders", payload={"action": "PAID"}):  one that says that, whatever else it says
    with assert_emits("outboundOrders", of=Order):                    the rows that were written, and no others

With `of`, rows of the model's table are compared before and after, past whatever queryset, signal or SQL changed them;
the key of a message is the primary key of its row. A row that was written has to have a message, and a message a row:
AssertionError names those that have none.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeAlias

from django.apps import apps
from django.db.models import Model

from event_stream import Message, decode
from event_stream.conf import configuration
from pytest_event_stream.capture import records_of

Place: TypeAlias = tuple[object, ...]


class AssertEmits(Protocol):
    """The type of the fixture `assert_emits`. The list holds the messages of the block once it is over."""

    def __call__(
        self,
        binding: str,
        *,
        of: type[Model] | None = None,
        count: int | None = None,
        payload: Mapping[str, Any] | None = None,
        using: str = "default",
    ) -> AbstractContextManager[list[Message[Any]]]: ...


@contextmanager
def emissions(
    binding: str,
    *,
    of: type[Model] | None = None,
    count: int | None = None,
    payload: Mapping[str, Any] | None = None,
    using: str = "default",
) -> Iterator[list[Message[Any]]]:
    """See the module. An error that the block raises is not replaced by ours."""
    before, rows_before = _emitted(binding, using), _rows(of, using)
    found: list[Message[Any]] = []
    yield found
    found += [message for place, message in _emitted(binding, using).items() if place not in before]
    if payload is not None:
        found[:] = [message for message in found if _says(message, payload)]
    if of is not None:
        _compare(of, rows_before, _rows(of, using), {str(message.key) for message in found})
    if count is not None or of is None:
        wanted = 1 if count is None else count
        what = f" that say {dict(payload)}" if payload else ""
        if len(found) != wanted:
            raise AssertionError(f"{wanted} messages through {binding!r}{what} were expected; there are {found}")


def _emitted(binding: str, using: str) -> dict[Place, Message[Any]]:
    """By its place: what was sent, and what is in the outbox, for which no relay has to run."""
    settings = configuration().binding(binding)
    sent: dict[Place, Message[Any]] = {
        ("sent", each.partition, each.offset): decode(settings, each) for each in records_of(binding)
    }
    return {**sent, **_in_outbox(binding, using)}


def _in_outbox(binding: str, using: str) -> dict[Place, Message[Any]]:
    if not apps.is_installed("event_stream.outbox"):
        return {}
    entries = apps.get_model("event_stream_outbox", "OutboxEntry")._default_manager.using(using)
    rows = entries.filter(binding=binding, published_at=None).order_by("id")
    return {("outbox", row.pk): Message(row.payload, row.key or None, row.headers) for row in rows}


def _says(message: Message[Any], payload: Mapping[str, Any]) -> bool:
    return isinstance(message.payload, Mapping) and payload.items() <= message.payload.items()


def _rows(of: type[Model] | None, using: str) -> dict[str, Mapping[str, Any]]:
    """By the primary key, every column."""
    if of is None:
        return {}
    return {str(row["pk"]): row for row in of._base_manager.using(using).values("pk", *_columns(of))}


def _columns(of: type[Model]) -> list[str]:
    return [field.attname for field in of._meta.concrete_fields]


def _compare(of: type[Model], before: Mapping[str, object], after: Mapping[str, object], told: set[str]) -> None:
    written = {pk for pk in before.keys() | after.keys() if before.get(pk) != after.get(pk)}
    complaints = []
    if silent := sorted(written - told):
        complaints.append(f"were written without a message: {', '.join(silent)}")
    if made_up := sorted(told - written):
        complaints.append(f"were told of and not written: {', '.join(made_up)}")
    if complaints:
        raise AssertionError("; ".join(f"rows of {of._meta.label} that {each}" for each in complaints))
