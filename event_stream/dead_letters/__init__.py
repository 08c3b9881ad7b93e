"""Dead letters: what a group could not handle, kept on the platform until a person has dealt with it.

`rejections_for(binding)` is what a handler gives them to; `manage.py dead_letters` lists, shows, replays, discards.
"""

from event_stream.binding import Binding
from event_stream.dead_letters.letter import Letter, Origin, is_for_another
from event_stream.dead_letters.order import KeyOrder
from event_stream.dead_letters.parking import Parking, dead_letter_binding, dead_letter_channel, rejections_for
from event_stream.errors import ConfigurationError


def key_order(binding: Binding) -> KeyOrder:
    """For a sink that needs the messages of a key in order. Raises ConfigurationError where nothing is parked."""
    if not binding.consumer.dead_letters:
        path = f"EVENT_STREAM['bindings'][{binding.name!r}]['consumer']['dead_letters']"
        raise ConfigurationError(f"{path} is False; it should be True for a sink that keeps the order of keys")
    channel = dead_letter_channel(binding)
    return KeyOrder(Parking(channel, binding), channel, binding)


__all__ = [
    "KeyOrder",
    "Letter",
    "Origin",
    "Parking",
    "dead_letter_binding",
    "dead_letter_channel",
    "is_for_another",
    "key_order",
    "rejections_for",
]
