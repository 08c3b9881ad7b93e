"""manage.py follow_change [--timeout S]"""

from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandParser

from event_stream import user_context
from event_stream.terminal import TerminalCommand
from organizations.services import create_organization, delete_organization

_NAME = "follow_change"


class Command(TerminalCommand):
    help = (
        "Creates an organization, follows its event to the evicted key in every service that TRACE_PEERS names, and "
        "deletes it again: whether an installation works. Exit code: trace's, 0 if the event was applied everywhere."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--timeout", type=float, default=60.0, metavar="S", help="give up after so many seconds (default: 60)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with user_context.use(user_context.UserContext()) as context:
            organization = create_organization(values={"name": _NAME})
        try:
            call_command(
                "trace",
                context.correlation_id,
                follow=True,
                until="applied",
                timeout=options["timeout"],
                stdout=self.stdout,
                stderr=self.stderr,
            )
        finally:
            delete_organization(organization_id=organization.pk, guard=_any_version)


def _any_version(version: int) -> None:
    """Whoever has changed it meanwhile: it is gone."""
