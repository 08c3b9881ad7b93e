"""Dead letters: what a group could not handle, kept on the platform until a person has dealt with it.

`rejections_for(binding)` is what a handler gives them to; `manage.py dead_letters` lists, shows, replays, discards.
"""

from event_stream.dead_letters.letter import Letter, Origin, is_for_another
from event_stream.dead_letters.parking import Parking, dead_letter_binding, dead_letter_channel, rejections_for

__all__ = [
    "Letter",
    "Origin",
    "Parking",
    "dead_letter_binding",
    "dead_letter_channel",
    "is_for_another",
    "rejections_for",
]
