"""manage.py import_organizations FILE"""

import argparse
import io
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser

from event_stream import user_context
from organizations.importing import FIELDS, READERS, Load, Tally, UnreadableFileError, described, lines_of, progress

EXIT_BAD_LINES = 1
EXIT_UNREADABLE = 2
EXIT_STOPPED = 130

_SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


class Command(BaseCommand):
    help = f"""Import organizations from CSV (the first line names the columns) or JSON Lines (one object a line).

Columns or keys: {", ".join(FIELDS)}; only name has to be there. A line with the id of an existing organization replaces
it, and what the line leaves out is emptied; any other line creates one. Every one of them is told by its event.

A bad line is reported with its number and reason, and the others go in, 1,000 at a time; with --atomic all go in or
none. Exit code: 0 all lines are in, {EXIT_BAD_LINES} some were bad, {EXIT_UNREADABLE} the file could not be read."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(
            prog_name, subcommand, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="the file, or - for standard input")
        parser.add_argument("--format", choices=sorted(READERS), help="where the file's name does not tell")
        parser.add_argument("--dry-run", action="store_true", help="check every line, and write nothing")
        parser.add_argument("--atomic", action="store_true", help="write all lines or, if one is bad, none")

    def handle(self, *, file: str, format: str | None, dry_run: bool, atomic: bool, **_options: Any) -> None:
        # One correlation id for the whole import, so that its events can be found by it.
        with user_context.use(user_context.UserContext()) as context:
            try:
                tally = _import(file, format or _format_of(file), write=not dry_run, atomic=atomic)
            except (OSError, UnreadableFileError) as error:
                raise CommandError(f"{file}: {error}", returncode=EXIT_UNREADABLE) from None
            except KeyboardInterrupt:
                kept = "Nothing was written" if atomic or dry_run else "What was counted is in"
                raise CommandError(f"Stopped. {kept}.", returncode=EXIT_STOPPED) from None
        self.stdout.write(_summary(tally, dry_run=dry_run, atomic=atomic))
        if not dry_run:
            self.stdout.write(f"Correlation id of the events: {context.correlation_id}")
        if tally.bad:
            sys.exit(EXIT_BAD_LINES)


def _import(file: str, format_: str, *, write: bool, atomic: bool) -> Tally:
    with _opened(file) as binary, progress(_size(file)) as shown:
        # With or without a byte order mark. Bytes that are no UTF-8 are kept, and refused with their line.
        stream = io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="")
        load = Load(
            write=write,
            atomic=atomic,
            on_bad=shown.bad_line,
            on_chunk=lambda tally: shown.chunk(tally, binary.tell() if binary.seekable() else 0),
        )
        return load.run(READERS[format_](lines_of(stream)))


def _opened(file: str) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb")


def _size(file: str) -> int | None:
    return None if file == "-" else Path(file).stat().st_size


def _format_of(file: str) -> str:
    try:
        return _SUFFIXES[Path(file).suffix.lower()]
    except KeyError:
        raise CommandError(
            f"{file}: the name does not tell the format; give --format csv or --format jsonl.",
            returncode=EXIT_UNREADABLE,
        ) from None


def _summary(tally: Tally, *, dry_run: bool, atomic: bool) -> str:
    if dry_run:
        return f"{described(tally)}. Nothing was written: this was a dry run."
    if atomic and tally.bad:
        return f"{tally.bad:,} bad lines. Nothing was written."
    return f"{described(tally)}."
