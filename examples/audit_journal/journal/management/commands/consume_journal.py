"""`manage.py consume_journal [--until-caught-up]`"""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from event_stream import ConfigurationError, Sink, signals
from event_stream.conf import configuration
from event_stream.consumer.shutdown import stop_on_signals
from event_stream.consumer.worker import StopCondition, Worker
from event_stream.dead_letters import error_handler_for
from event_stream.errors import TooManyDeadLettersError
from event_stream.inbox.idempotent import Idempotent
from event_stream.terminal import TerminalCommand
from journal.handlers import write_down

BINDING = "journalOrgChanges"


class Command(TerminalCommand):
    help = (
        "Writes each organization change into the journal until SIGTERM or SIGINT. Any number may run: they share the "
        "topic. Exit code 0 when told to stop, or done; 1 after an error that trying again can't fix."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--until-caught-up",
            dest="until",
            action="store_const",
            const=StopCondition.CAUGHT_UP,
            default=StopCondition.STOPPED,
            help="end when all is written that was there at the start",
        )

    def handle(self, *args: Any, until: StopCondition, **options: Any) -> None:
        stop = stop_on_signals()
        signals.command_started.send(type(self), role="worker")
        try:
            binding = configuration().binding(BINDING)
            sink = Sink(binding, Idempotent(binding, write_down), error_handler=error_handler_for(binding))
            Worker(BINDING, sink).run(stop.is_set, until)
        except (ConfigurationError, TooManyDeadLettersError) as error:
            raise CommandError(str(error)) from error
