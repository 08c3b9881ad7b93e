"""Imports the organizations of a CSV or JSON Lines file, one chunk at a time, in bounded memory.

The readers yield the lines of a file one at a time, so that a bad line does not hide later ones. `OrganizationParser`
turns a line into an organization, `Importer` writes organizations, and `progress` shows how far it is.
"""

import csv
import itertools
import json
import re
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import IO, Any, Protocol, Self

from django.core.exceptions import ValidationError
from django.db import transaction
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from event_stream.retry import rerun_on_conflict
from event_stream.terminal import escaped, stops_deferred
from organizations.models import Organization
from service_kit.csv_text import unescape_formula
from service_kit.request_bodies import unique_members
from service_kit.uuids import parse_uuid

FIELDS = ("id", "name", "contactName", "contactEmail", "contactPhone")
CHUNK = 1_000
"""Organizations written in one transaction, each with its event."""
LINES_BETWEEN = 10_000

_MAX_LINE_LENGTH = 1_000_000
"""The longest line, or value over several lines, in characters. A longer one means some other kind of file."""
_COLUMNS = {
    "name": "name",
    "contactName": "contact_name",
    "contactEmail": "contact_email",
    "contactPhone": "contact_phone",
}
_NAMES = {column: name for name, column in _COLUMNS.items()}

_WELL_FORMED = re.compile(r'(?:"(?:[^"]|"")*"|[^",]*)(?:,(?:"(?:[^"]|"")*"|[^",]*))*(?:\r|\n|\r\n)?')
"""A line of CSV with quotation marks only around whole values, or doubled inside of these."""

csv.field_size_limit(_MAX_LINE_LENGTH)


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was read. `number` counts from 1; a CSV record over several lines has the number of its first."""

    number: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that can't be imported, and the reason."""

    number: int
    reason: str


class UnreadableFileError(Exception):
    """The file can't be read. The text says what is wrong."""


Reader = Callable[[Iterable[str]], Iterator[Line | BadLine]]


def read_lines(stream: IO[str]) -> Iterator[str]:
    """Yield lines with their ends. Raises UnreadableFileError for a line that is too long."""
    number = 0
    while line := stream.readline(_MAX_LINE_LENGTH):
        number += 1
        if len(line) == _MAX_LINE_LENGTH:
            raise UnreadableFileError(f"Line {number} is longer than {_MAX_LINE_LENGTH:,} characters.")
        yield line


def read_csv(lines: Iterable[str]) -> Iterator[Line | BadLine]:
    """Read CSV whose first line names the columns, in any order. Raises UnreadableFileError for an invalid header.

    A quotation mark that is not closed takes the lines after it into its value. Only its line is bad: the others are
    read once more by themselves.
    """
    source = _NumberedLines(lines)
    reader = csv.reader(source, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise UnreadableFileError(f"The first line can't be read: {error}.") from None
    _check_header(header)
    while True:
        source.taken.clear()
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            number, is_one_line = source.taken[0][0], len(source.taken) == 1
            source.read_again_after_first()
            reason = f"it can't be read as CSV: {error}" if is_one_line else "a quotation mark in it is not closed"
            yield BadLine(number, reason)
            continue
        if not record:
            continue
        number, text = source.taken[0]
        if source.is_reading_again(number) and not _WELL_FORMED.fullmatch(text):
            # It may be the rest of the value that the open quotation mark has begun.
            yield BadLine(number, "a quotation mark in it does not stand around a whole value")
        elif len(record) != len(header):
            yield BadLine(number, f"it has {len(record)} values where the first line names {len(header)}")
        else:
            yield Line(number, {name: unescape_formula(value) for name, value in zip(header, record, strict=True)})


class _NumberedLines:
    """The lines of a file for `csv.reader`, which can be read again. `taken` are those of the current record."""

    def __init__(self, lines: Iterable[str]) -> None:
        # The csv module can't continue after a NUL. Replaced, it is refused like any other control character.
        self._lines = enumerate((line.replace("\0", "\x01") for line in lines), 1)
        self._again: deque[tuple[int, str]] = deque()
        self._again_to = 0
        self.taken: list[tuple[int, str]] = []

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.taken.append(line)
        return line[1]

    def read_again_after_first(self) -> None:
        self._again_to = max(self._again_to, self.taken[-1][0])
        self._again.extendleft(reversed(self.taken[1:]))

    def is_reading_again(self, number: int) -> bool:
        return number <= self._again_to


def read_jsonl(lines: Iterable[str]) -> Iterator[Line | BadLine]:
    """Read JSON Lines: one JSON object per line. Empty lines are ignored."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line, object_pairs_hook=unique_members)
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


def _listed(names: Iterable[str]) -> str:
    shown = ", ".join(repr(name) for name in sorted(names))
    return shown if len(shown) <= 200 else f"{shown[:200]}…"


class OrganizationParser:
    """Turns lines into organizations. Remembers each id's line (about 150 bytes): a repeated id is an error."""

    def __init__(self) -> None:
        self._line_of: dict[uuid.UUID, int] = {}

    def parse(self, line: Line) -> Organization | BadLine:
        """Parse a line. Missing, null and empty values are empty, as in a PUT. A line without an id gets a new one."""
        try:
            values = {column: _text(name, line.values.get(name)) for name, column in _COLUMNS.items()}
            id = _text("id", line.values.get("id"))
            organization = Organization(**values, **({"pk": _id(id)} if id else {}))
            organization.clean_fields(exclude={"id", "version"})
        except ValidationError as error:
            return BadLine(line.number, _reason(error))
        if id:
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
        # Undecodable bytes, or a lone surrogate in a JSON escape.
        raise ValidationError({name: "it should be UTF-8"}) from None
    return value.strip()


def _id(value: str) -> uuid.UUID:
    try:
        return parse_uuid(value)
    except ValueError:
        raise ValidationError({"id": "it should be a UUID"}) from None


def _reason(error: ValidationError) -> str:
    return "; ".join(
        f"{_NAMES.get(field, field)}: {' '.join(messages)}" for field, messages in error.message_dict.items()
    )


@dataclass(slots=True)
class Tally:
    """The numbers of created and updated organizations, and of bad lines."""

    created: int = 0
    updated: int = 0
    bad: int = 0
    last_line: int = 0
    """The number of the last line that is counted here; 0 before the first chunk is written."""

    @property
    def lines(self) -> int:
        return self.created + self.updated + self.bad


@dataclass(frozen=True, slots=True)
class Importer:
    """Writes the organizations of lines, and reports bad lines and progress."""

    write: bool
    """False only checks the lines."""
    atomic: bool
    """Whether to use one transaction, which a single bad line rolls back."""
    on_bad_line: Callable[[BadLine], None]
    on_chunk: Callable[[Tally], None]
    after_line: int = 0
    """The lines up to this one are passed over: an earlier import has written them."""

    def run(self, lines: Iterable[Line | BadLine]) -> Tally:
        """Create each organization, or update it if its id exists."""
        tally = Tally()
        with transaction.atomic() if self.atomic and self.write else nullcontext():
            for organizations, last_line in self._chunks(lines, tally):
                # What is in is known to the caller: a signal between the two would hide a chunk.
                with stops_deferred():
                    # After a bad line, an atomic import only looks for further bad lines.
                    self._write(organizations, tally, write=self.write and not (self.atomic and tally.bad))
                    tally.last_line = last_line
                    self.on_chunk(tally)
            if self.write and self.atomic and tally.bad:
                transaction.set_rollback(True)
                tally.created = tally.updated = 0
        return tally

    def _chunks(self, lines: Iterable[Line | BadLine], tally: Tally) -> Iterator[tuple[list[Organization], int]]:
        """Yield the organizations of each chunk, with the number of its last line."""
        parser = OrganizationParser()
        for batch in _batched((line for line in lines if line.number > self.after_line), CHUNK):
            organizations = []
            for line in batch:
                organization = parser.parse(line) if isinstance(line, Line) else line
                if isinstance(organization, BadLine):
                    tally.bad += 1
                    self.on_bad_line(organization)
                else:
                    organizations.append(organization)
            yield organizations, batch[-1].number

    @staticmethod
    @rerun_on_conflict
    def _write(organizations: list[Organization], tally: Tally, *, write: bool) -> None:
        if write:
            created = Organization.objects.upsert(organizations)
        else:
            ids = [organization.pk for organization in organizations]
            created = len(ids) - Organization.objects.filter(pk__in=ids).count()
        tally.created += created
        tally.updated += len(organizations) - created


def _batched(lines: Iterable[Line | BadLine], size: int) -> Iterator[list[Line | BadLine]]:
    iterator = iter(lines)
    return iter(lambda: list(itertools.islice(iterator, size)), [])


class ProgressReporter(Protocol):
    """Reports bad lines and progress; `bytes_read` counts the bytes of the file."""

    def bad_line(self, line: BadLine) -> None: ...

    def chunk(self, tally: Tally, bytes_read: int) -> None: ...


@contextmanager
def progress(total: int | None) -> Iterator[ProgressReporter]:
    """Show progress on stderr: a bar on a terminal, a line every 10,000 lines elsewhere.

    `total` is the size of the file in bytes; None if it is unknown.
    """
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        yield _LineReporter(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        yield _BarReporter(bar, total)


def summarize(tally: Tally) -> str:
    return f"{tally.lines:,} lines: {tally.created:,} created, {tally.updated:,} updated, {tally.bad:,} bad"


class _LineReporter:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = LINES_BETWEEN

    def bad_line(self, line: BadLine) -> None:
        self._console.print(escaped(f"line {line.number}: {line.reason}"))

    def chunk(self, tally: Tally, bytes_read: int) -> None:
        if tally.lines >= self._next:
            self._console.print(summarize(tally))
            self._next = tally.lines + LINES_BETWEEN


class _BarReporter:
    def __init__(self, bar: Progress, total: int | None) -> None:
        self._bar = bar
        self._task = bar.add_task("Importing", total=total)

    def bad_line(self, line: BadLine) -> None:
        self._bar.console.print(escaped(f"line {line.number}: {line.reason}"))

    def chunk(self, tally: Tally, bytes_read: int) -> None:
        self._bar.update(self._task, completed=bytes_read, description=summarize(tally))
