"""Lines of a CSV or JSON Lines file, one at a time: a bad one does not hide those that follow."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

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
