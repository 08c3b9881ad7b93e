"""Writes the organizations of a file, a chunk at a time, and so in bounded memory."""

import csv
import itertools
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import IO, Any, Protocol

from django.core.exceptions import ValidationError
from django.db import transaction
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from organizations.models import Organization

# Lines of a CSV or JSON Lines file, one at a time: a bad one does not hide those that follow.

FIELDS = ("id", "name", "contactName", "contactEmail", "contactPhone")

_LONGEST = 1_000_000
"""Characters of a line, or of a value that goes over several: beyond it is some other kind of file."""

csv.field_size_limit(_LONGEST)


@dataclass(frozen=True, slots=True)
class Line:
    """A line that could be read. `number` counts from 1; a CSV record over several lines has that of its last."""

    number: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that will not go in, and why."""

    number: int
    reason: str


class UnreadableFileError(Exception):
    """No line of the file can be read. The text says what is wrong."""


Reader = Callable[[Iterable[str]], Iterator[Line | BadLine]]


def lines_of(stream: IO[str]) -> Iterator[str]:
    """The lines with their ends, none of them without bounds. Raises UnreadableFileError for one that is."""
    number = 0
    while line := stream.readline(_LONGEST):
        number += 1
        if len(line) == _LONGEST:
            raise UnreadableFileError(f"Line {number} is longer than {_LONGEST:,} characters.")
        yield line


def read_csv(lines: Iterable[str]) -> Iterator[Line | BadLine]:
    """The first line names the columns, in any order. Raises UnreadableFileError for a header that can't be used."""
    reader = csv.reader(_without_nul(lines), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise UnreadableFileError(f"The first line can't be read: {error}.") from None
    _check_header(header)
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadLine(reader.line_num, f"it can't be read as CSV: {error}")
            continue
        if not record:
            continue
        if len(record) != len(header):
            yield BadLine(reader.line_num, f"it has {len(record)} values where the first line names {len(header)}")
            continue
        yield Line(reader.line_num, dict(zip(header, record, strict=True)))


def read_jsonl(lines: Iterable[str]) -> Iterator[Line | BadLine]:
    """One JSON object a line; empty lines are passed over."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield BadLine(number, f"it can't be read as JSON: {error}")
            continue
        if not isinstance(values, dict):
            yield BadLine(number, "it should be a JSON object")
        elif unknown := values.keys() - set(FIELDS):
            yield BadLine(number, f"unknown: {_listed(unknown)}; there are {', '.join(FIELDS)}")
        else:
            yield Line(number, values)


READERS: Mapping[str, Reader] = {"csv": read_csv, "jsonl": read_jsonl}


def _check_header(header: list[str]) -> None:
    if "name" not in header:
        raise UnreadableFileError(f"The first line should name the columns, at least name; it is {_listed(header)}.")
    if unknown := set(header) - set(FIELDS):
        raise UnreadableFileError(f"Unknown columns: {_listed(unknown)}; there are {', '.join(FIELDS)}.")
    if len(set(header)) != len(header):
        raise UnreadableFileError("The first line names a column twice.")


def _without_nul(lines: Iterable[str]) -> Iterator[str]:
    # The csv module gives up for good at a NUL; this way its line is refused like any other control character.
    return (line.replace("\0", "\x01") for line in lines)


def _listed(names: Iterable[str]) -> str:
    shown = ", ".join(repr(name) for name in sorted(names))
    return shown if len(shown) <= 200 else f"{shown[:200]}…"


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


# From the values of a line to an organization, or the reason why they are none.

_COLUMNS = {
    "name": "name",
    "contactName": "contact_name",
    "contactEmail": "contact_email",
    "contactPhone": "contact_phone",
}
_NAMES = {column: name for name, column in _COLUMNS.items()}


class Rows:
    """Makes organizations of lines. Remembers which line gave an id, about 150 bytes each: twice is a mistake."""

    def __init__(self) -> None:
        self._line_of: dict[uuid.UUID, int] = {}

    def organization(self, line: Line) -> Organization | BadLine:
        """A value that is left out, null or empty is empty, as in a PUT. Without an id it gets a new one."""
        try:
            values = {column: _text(name, line.values.get(name)) for name, column in _COLUMNS.items()}
            given = _text("id", line.values.get("id"))
            organization = Organization(**values, **({"pk": _id(given)} if given else {}))
            organization.clean_fields(exclude={"id", "version"})
        except ValidationError as error:
            return BadLine(line.number, _reason(error))
        if given:
            earlier = self._line_of.setdefault(organization.pk, line.number)
            if earlier != line.number:
                return BadLine(line.number, f"id: line {earlier} has the same")
        return organization


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValidationError({name: "it should be a text"})
    try:
        value.encode()
    except UnicodeEncodeError:
        # Bytes that could not be decoded, or half of a pair in a JSON escape.
        raise ValidationError({name: "it should be UTF-8"}) from None
    return value.strip()


def _id(value: str) -> uuid.UUID:
    try:
        return uuid.UUID(value)
    except ValueError:
        raise ValidationError({"id": "it should be a UUID"}) from None


def _reason(error: ValidationError) -> str:
    return "; ".join(
        f"{_NAMES.get(field, field)}: {' '.join(messages)}" for field, messages in error.message_dict.items()
    )


# How far a long command is: a bar on a terminal, a line now and then elsewhere. On stderr, with the bad lines.

LINES_BETWEEN = 10_000


class Shown(Protocol):
    """Told on the way; `done` is how many bytes of the file have been read."""

    def bad_line(self, bad: BadLine) -> None: ...

    def chunk(self, tally: Tally, done: int) -> None: ...


@contextmanager
def progress(total: int | None) -> Iterator[Shown]:
    """`total` is the size of the file in bytes; None where nobody knows."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        yield _Bar(bar, total)


def described(tally: Tally) -> str:
    return f"{tally.lines:,} lines: {tally.created:,} created, {tally.updated:,} updated, {tally.bad:,} bad"


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = LINES_BETWEEN

    def bad_line(self, bad: BadLine) -> None:
        self._console.print(f"line {bad.number}: {bad.reason}")

    def chunk(self, tally: Tally, done: int) -> None:
        if tally.lines >= self._next:
            self._console.print(described(tally))
            self._next = tally.lines + LINES_BETWEEN


class _Bar:
    def __init__(self, bar: Progress, total: int | None) -> None:
        self._bar = bar
        self._task = bar.add_task("Importing", total=total)

    def bad_line(self, bad: BadLine) -> None:
        self._bar.console.print(f"line {bad.number}: {bad.reason}")

    def chunk(self, tally: Tally, done: int) -> None:
        self._bar.update(self._task, completed=done, description=described(tally))
