"""What a message passes through on its way out, before it is serialized: a binding's `producer.interceptors`."""

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

from django.utils.module_loading import import_string

from event_stream.conf import Binding
from event_stream.errors import ConfigurationError
from event_stream.messaging.message import Message

Interceptor: TypeAlias = Callable[[Message[Any]], Message[Any]]
"""Returns the message to send in the place of the one given. Raises ConversionError for one that it can't take."""


def intercepted(binding: Binding, message: Message[Any]) -> Message[Any]:
    """The message after all of them, in the order of the setting. Raises ConfigurationError, ConversionError."""
    for interceptor in interceptors(binding):
        message = interceptor(message)
    return message


def interceptors(binding: Binding) -> tuple[Interceptor, ...]:
    """Raises ConfigurationError, its text beginning with the key."""
    return tuple(map(_imported, binding.producer.interceptors))


@functools.cache
def _imported(dotted: str) -> Interceptor:
    should_be = "it should be the dotted path of a function of a message"
    try:
        found = import_string(dotted)
    except ImportError as error:
        raise ConfigurationError(f"['producer']['interceptors'] has {dotted!r}; {should_be} ({error})") from error
    if not callable(found):
        raise ConfigurationError(f"['producer']['interceptors'] has {dotted!r}; {should_be}")
    interceptor: Interceptor = found
    return interceptor
