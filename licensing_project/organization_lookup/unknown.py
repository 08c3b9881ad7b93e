"""Counts what a producer of a later time says and we do not understand."""

import logging
from collections import Counter
from typing import Any

from event_stream.clock import Clock, SystemClock

logger = logging.getLogger(__name__)

INTERVAL_S = 60.0
_EVENTS = {"action": "message.unknown_action", "field": "message.unknown_field"}
_NAMES_KEPT = 100
_NAME_LENGTH = 80
OTHERS = "(others)"
"""Beyond so many names: a producer gone wild is no reason to keep ever more of them."""


class Unknown:
    """Actions and fields that are passed over: counted by name, and told of at once and then once a minute at most.

    The line has `count`, that of this process so far: a metric for whatever makes metrics of logs.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._tell_at: dict[tuple[str, str], float] = {}

    def met(self, kind: str, name: str, **where: Any) -> None:
        """`kind` is "action" or "field"; `where` is of the message that brings it."""
        key = (kind, name[:_NAME_LENGTH])
        if key not in self._counts and len(self._counts) >= _NAMES_KEPT:
            key = (kind, OTHERS)
        self._counts[key] += 1
        now = self._clock.monotonic_s()
        if now >= self._tell_at.get(key, now):
            self._tell_at[key] = now + INTERVAL_S
            logger.warning(_EVENTS[kind], extra={kind: key[1], "count": self._counts[key], **where})
