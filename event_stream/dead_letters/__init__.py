"""Dead letters: what a group could not handle, kept on the platform until a person has dealt with it.

`error_handler_for(binding)` is what a handler gives them to; `manage.py dead_letters` lists, shows, replays, discards.
"""

from event_stream.conf import Binding, dead_letter_binding
from event_stream.dead_letters.key_blocking import KeyBlocker
from event_stream.dead_letters.publisher import (
    DeadLetterPublisher,
    dead_letter_channel,
    error_handler_for,
)
from event_stream.dead_letters.record import DeadLetterRecord, Origin
from event_stream.errors import ConfigurationError


def key_blocker(binding: Binding) -> KeyBlocker:
    """For a sink that needs the messages of a key in order. Raises ConfigurationError where nothing is parked."""
    if not binding.consumer.dead_letters:
        path = f"{binding.path}['consumer']['dead_letters']"
        raise ConfigurationError(f"{path} is False; it should be True for a sink that keeps the order of keys")
    channel = dead_letter_channel(binding)
    return KeyBlocker(DeadLetterPublisher(channel, binding), channel, binding)


__all__ = [
    "DeadLetterPublisher",
    "DeadLetterRecord",
    "KeyBlocker",
    "Origin",
    "dead_letter_binding",
    "dead_letter_channel",
    "error_handler_for",
    "key_blocker",
]
