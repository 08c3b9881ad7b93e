"""Dead letters that wait for a person."""

from collections.abc import Iterator
from datetime import timedelta

from event_stream.clock import SystemClock
from event_stream.conf import configuration
from event_stream.dead_letters import dead_letter_channel
from event_stream.dead_letters.journal import journal
from event_stream.doctor.finding import Finding, ok, unknown, warning
from event_stream.errors import UnavailableError


def check() -> Iterator[Finding]:
    for binding in configuration().bindings.values():
        if not binding.consumer.dead_letters:
            continue
        channel = dead_letter_channel(binding)
        subject = f"dead letters of {binding.group}"
        try:
            letters = journal(channel.read()).letters
        except UnavailableError as error:
            yield unknown(subject, f"they can't be read: {error}")
            continue
        if not letters:
            yield ok(subject, "none")
            continue
        oldest_ms = SystemClock().now_ms() - min(each.letter.parked_at_ms for each in letters)
        age = timedelta(seconds=oldest_ms // 1000)
        remedy = f"manage.py dead_letters list --binding {binding.name}; then show, replay or discard them"
        yield warning(subject, f"{len(letters)} wait, the oldest for {age}", remedy)
