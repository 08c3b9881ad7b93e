"""manage.py load_sample_data"""

import argparse
import itertools
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser

from event_stream import user_context
from event_stream.terminal import TerminalCommand
from organizations import sample_data
from organizations.models import Organization
from organizations.querysets import CHUNK


class Command(TerminalCommand):
    help = "Creates the missing sample organizations; existing ones stay unchanged."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--generate", type=_count, default=0, metavar="N", help="create N invented organizations as well"
        )
        parser.add_argument("--seed", type=int, default=1, help="a seed for the invented organizations (default: 1)")

    def handle(self, *, generate: int, seed: int, **_options: Any) -> None:
        samples = itertools.chain(sample_data.real(), sample_data.generated(generate, seed=seed))
        with user_context.use(user_context.UserContext()):
            created = sum(map(_create_missing, _chunks(samples)))
        self.stdout.write(f"{created} sample organizations created.")


def _create_missing(organizations: list[Organization]) -> int:
    ids = [organization.pk for organization in organizations]
    existing = set(Organization.objects.filter(pk__in=ids).values_list("pk", flat=True))
    missing = [organization for organization in organizations if organization.pk not in existing]
    # A concurrent load may have created some of them.
    Organization.objects.bulk_create(missing, ignore_conflicts=True)
    return len(missing)


def _chunks(organizations: Iterator[Organization]) -> Iterator[list[Organization]]:
    return iter(lambda: list(itertools.islice(organizations, CHUNK)), [])


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError("it should be a whole number, 0 or more")
    return int(text)
