"""Writes the organizations of a file, a chunk at a time, and so in bounded memory."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass

from django.db import transaction

from organizations.importing.reading import BadLine, Line
from organizations.importing.rows import Rows
from organizations.models import Organization

CHUNK = 1_000
"""Organizations written in one transaction, each with its event."""

_UPDATED_FIELDS = ("name", "contact_name", "contact_email", "contact_phone")


@dataclass(slots=True)
class Tally:
    """How many lines were created, updated and refused."""

    created: int = 0
    updated: int = 0
    bad: int = 0

    @property
    def lines(self) -> int:
        return self.created + self.updated + self.bad


@dataclass(frozen=True, slots=True)
class Load:
    """What is done with the lines, and who is told on the way."""

    write: bool
    """False: only look whether they could go in."""
    atomic: bool
    """One transaction, which is given up for a single bad line."""
    on_bad: Callable[[BadLine], None]
    on_chunk: Callable[[Tally], None]

    def run(self, lines: Iterable[Line | BadLine]) -> Tally:
        """An organization is created, or updated where its id exists already."""
        tally = Tally()
        with transaction.atomic() if self.atomic and self.write else nullcontext():
            for organizations in self._chunks(lines, tally):
                # A file that will not go in needs no more writing, but all its bad lines are to be named.
                self._write(organizations, tally, write=self.write and not (self.atomic and tally.bad))
                self.on_chunk(tally)
            if self.write and self.atomic and tally.bad:
                transaction.set_rollback(True)
                tally.created = tally.updated = 0
        return tally

    def _chunks(self, lines: Iterable[Line | BadLine], tally: Tally) -> Iterator[list[Organization]]:
        rows = Rows()
        for batch in _batched(lines, CHUNK):
            organizations = []
            for line in batch:
                row = rows.organization(line) if isinstance(line, Line) else line
                if isinstance(row, BadLine):
                    tally.bad += 1
                    self.on_bad(row)
                else:
                    organizations.append(row)
            yield organizations

    @staticmethod
    def _write(organizations: list[Organization], tally: Tally, *, write: bool) -> None:
        there = Organization.objects.filter(pk__in=[each.pk for each in organizations])
        with transaction.atomic():
            updated = len(there.select_for_update().values_list("pk")) if write else there.count()
            if write:
                Organization.objects.bulk_create(
                    organizations, update_conflicts=True, unique_fields=["id"], update_fields=_UPDATED_FIELDS
                )
        tally.updated += updated
        tally.created += len(organizations) - updated


def _batched(lines: Iterable[Line | BadLine], size: int) -> Iterator[list[Line | BadLine]]:
    iterator = iter(lines)
    return iter(lambda: list(itertools.islice(iterator, size)), [])
