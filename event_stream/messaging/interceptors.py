"""What a message passes through on its way out, before it is serialized: a binding's `producer.interceptors`."""

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

from event_stream.conf import Binding, import_dotted
from event_stream.messaging.message import Message

Interceptor: TypeAlias = Callable[[Message[Any]], Message[Any]]
"""Returns the message to send in the place of the one given. Raises ConversionError for one that it can't take."""


def intercepted(binding: Binding, message: Message[Any]) -> Message[Any]:
    """The message after all of them, in the order of the setting. Raises ConfigurationError, ConversionError."""
    for interceptor in interceptors(binding):
        message = interceptor(message)
    return message


def interceptors(binding: Binding) -> tuple[Interceptor, ...]:
    """Raises ConfigurationError."""
    return tuple(_imported(dotted, binding.path) for dotted in binding.producer.interceptors)


@functools.cache
def _imported(dotted: str, path: str) -> Interceptor:
    should_be = "it should be the dotted path of a function of a message"
    interceptor: Interceptor = import_dotted(dotted, f"{path}['producer']['interceptors'] has {dotted!r}; {should_be}")
    return interceptor
