"""manage.py relay_outbox"""

import signal
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.core.management.base import CommandError

from event_stream import signals
from event_stream.outbox.relay import Relay, RelayThread
from event_stream.terminal import TerminalCommand

_JOIN_SLICE_S = 0.2
_STOP_TIMEOUT_S = 1.0
PARKED = 3


class Command(TerminalCommand):
    """Exits with 0 after SIGTERM, SIGINT or when it is done, 1 for a fatal error, 3 for parked messages."""

    help = "Sends the messages in the outbox. Several relays may run, here and in web processes; one of them leads."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--until-drained",
            action="store_true",
            help="Stop when nothing is left to send; exit code 3 if a message had to be parked.",
        )

    def handle(self, *args: Any, until_drained: bool, **options: Any) -> None:
        signals.command_started.send(type(self), role="relay")
        relay = Relay(until_drained=until_drained)
        thread = RelayThread(relay)

        def ask_to_stop(number: int, frame: FrameType | None) -> None:
            relay.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, ask_to_stop)
        thread.start()
        while thread.is_alive() and not relay.wait_for_stop(0):
            thread.join(_JOIN_SLICE_S)
        # During a broker's outage a send may take longer than a supervisor waits for this process.
        thread.join(_STOP_TIMEOUT_S)
        if thread.error is not None:
            raise CommandError(str(thread.error)) from thread.error
        if until_drained and relay.parked:
            raise CommandError(f"{relay.parked} messages can't be sent and are parked.", returncode=PARKED)
