"""`manage.py load_sample_data [--generate N]`"""

from argparse import ArgumentTypeError
from itertools import islice
from typing import Any

from django.core.management.base import CommandParser

from event_stream.terminal import TerminalCommand
from licenses.models import License
from licenses.sample_data import generated_licenses, sample_licenses

_BATCH = 1000


class Command(TerminalCommand):
    help = "Adds the sample licenses, and N generated ones; those that are there already are left as they are."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--generate", metavar="N", type=_amount, default=0, help="generated licenses on top")

    def handle(self, *args: Any, **options: Any) -> None:
        before = License.objects.count()
        License.objects.bulk_create(sample_licenses(), ignore_conflicts=True)
        generated = generated_licenses(options["generate"])
        while batch := list(islice(generated, _BATCH)):
            License.objects.bulk_create(batch, ignore_conflicts=True)
        after = License.objects.count()
        self.stdout.write(f"{after} licenses, {after - before} of them new")


def _amount(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ArgumentTypeError(f"should be a number of licenses, not {text!r}")
    return int(text)
