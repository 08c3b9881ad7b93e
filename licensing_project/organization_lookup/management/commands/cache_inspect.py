"""`manage.py cache_inspect ID`"""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from event_stream.errors import UnavailableError
from event_stream.fenced_cache.explain import explain
from event_stream.terminal import TerminalCommand
from organization_lookup import lookup
from organization_lookup.handlers import canonical_id


class Command(TerminalCommand):
    help = "Explains in words what the cache holds for one organization, and what follows from it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", metavar="ID", help="the organization's id, a UUID")

    def handle(self, *args: Any, **options: Any) -> None:
        id = canonical_id(options["id"])
        if id is None:
            raise CommandError(f"ID should be an organization's UUID, not {options['id']!r:.80}.")
        try:
            inspection = explain(lookup.current().cache, id)
        except UnavailableError as error:
            raise CommandError(f"Redis, which REDIS_URL names, can't be asked: {error}") from error
        for line in inspection.lines():
            self.stdout.write(line)
