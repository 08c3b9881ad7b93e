"""Django's `flush`, with the deletions published."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.commands import flush
from django.db import connections, transaction

from event_stream.outbox.models import OutboxEntry
from event_stream.outbox.triggers import FORGET_MESSAGES
from event_stream.terminal import TerminalCommand


class Command(TerminalCommand, flush.Command):
    """Empties every table but the outbox, to which the triggers add the deletions.

    Django's own test cases empty the outbox, too: a test must not find the messages of the one before.
    """

    def handle(self, **options: Any) -> None:
        alias = options["database"]
        if connections[alias].vendor != "postgresql":
            super().handle(**options)
        # The command line has no such option: TransactionTestCase passes it.
        elif "inhibit_post_migrate" in options:
            with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
                cursor.execute("SELECT set_config(%s, 'on', true)", [FORGET_MESSAGES])
                super().handle(**options)
        else:
            with _kept_outbox(alias):
                super().handle(**options)


@contextmanager
def _kept_outbox(alias: str) -> Iterator[None]:
    """Leave the outbox out of the tables that Django's `sql_flush` lists: it has no argument for that."""
    introspection = connections[alias].introspection
    table_names = introspection.django_table_names

    def others(*args: Any, **kwargs: Any) -> list[str]:
        return [name for name in table_names(*args, **kwargs) if name != OutboxEntry._meta.db_table]

    introspection.django_table_names = others  # type: ignore[method-assign]
    try:
        yield
    finally:
        introspection.django_table_names = table_names  # type: ignore[method-assign]
