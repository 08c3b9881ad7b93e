"""The configured bindings, on a platform in memory."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, cast

from django.conf import settings
from django.test import override_settings

from event_stream import Message, decode
from event_stream.binders.memory import MemoryBinder
from event_stream.conf import SETTING, configuration
from event_stream.messaging.channel import registry
from event_stream.messaging.message import ConsumerRecord


class CapturedMessages(Protocol):
    """The type of the fixture `captured_messages`."""

    def __call__(self, binding: str) -> list[Message[Any]]:
        """Everything in the binding's destination, each partition in order. Raises ConfigurationError."""


@contextmanager
def in_memory() -> Iterator[None]:
    """Within it, each binder of the setting is a memory binder of its own. What it held is gone afterwards."""
    with override_settings(**{SETTING: _on_memory(getattr(settings, SETTING, {}))}):
        yield


def captured(binding: str) -> list[Message[Any]]:
    """The list that the fixture `captured_messages` returns for a binding."""
    found = configuration().binding(binding)
    return [decode(found, record) for record in records_of(binding)]


def records_of(binding: str) -> list[ConsumerRecord]:
    """Everything in the binding's destination, as it lies there."""
    found = configuration().binding(binding)
    return cast(MemoryBinder, registry().binder(found.binder)).sent(found.destination)


def _on_memory(setting: Mapping[str, Any]) -> dict[str, Any]:
    bindings = {name: _without_properties(binding) for name, binding in setting.get("bindings", {}).items()}
    binders = {name: {"type": "memory"} for name in setting.get("binders", {})}
    return {**setting, "binders": binders, "bindings": bindings}


def _without_properties(binding: Mapping[str, Any]) -> dict[str, Any]:
    """They are the real platform's."""
    sides = {side: dict(binding[side]) for side in ("producer", "consumer") if side in binding}
    for side in sides.values():
        side.pop("properties", None)
    return {**binding, **sides}
