"""manage.py import_organizations FILE"""

import argparse
import io
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import CommandError, CommandParser

from event_stream import user_context
from event_stream.terminal import TerminalCommand
from organizations.importing import (
    FIELDS,
    READERS,
    Importer,
    Tally,
    UnreadableFileError,
    progress,
    read_lines,
    summarize,
)

EXIT_BAD_LINES = 1
EXIT_UNREADABLE = 2
EXIT_DATABASE = 3

_SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


class Command(TerminalCommand):
    help = f"""Import organizations from CSV (the first line names the columns) or JSON Lines (one object a line).

Columns or keys: {", ".join(FIELDS)}; only name is required. A line with the id of an existing organization
replaces it, and values that the line leaves out become empty; any other line creates one. Each write emits an event.

A bad line is reported with its number and reason, and the others are written, 1,000 at a time; with --atomic, all are
written or none. Stopped before its end, it says with which --after-line to go on. Exit code: 0 all lines are written,
{EXIT_BAD_LINES} some were bad, {EXIT_UNREADABLE} the file is unreadable, {EXIT_DATABASE} the database has failed, 130
or 143 it was stopped by SIGINT or SIGTERM."""
    database_exit_code = EXIT_DATABASE

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(
            prog_name, subcommand, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="the file, or - for standard input")
        parser.add_argument("--format", choices=sorted(READERS), help="the format, if the file's name does not show it")
        parser.add_argument("--dry-run", action="store_true", help="check every line without writing")
        parser.add_argument(
            "--after-line", type=int, default=0, metavar="N", help="pass over the lines up to N, which are in already"
        )
        parser.add_argument("--atomic", action="store_true", help="write all lines or, if one is bad, none")

    _written = Tally()
    """The chunks that are in the database."""

    def database_advice(self, options: Mapping[str, Any]) -> str:
        return self.stop_advice(options)

    def stop_advice(self, options: Mapping[str, Any]) -> str:
        if options["atomic"] or options["dry_run"] or not self._written.last_line:
            return "Nothing was written."
        last_line = self._written.last_line
        return f"The lines up to {last_line} are in ({summarize(self._written)}); go on with --after-line {last_line}."

    def handle(
        self, *, file: str, format: str | None, dry_run: bool, atomic: bool, after_line: int, **_options: Any
    ) -> None:
        # One correlation id for the whole import, so that it leads to all events.
        with user_context.use(user_context.UserContext()) as context:
            try:
                tally = self._import(
                    file, format or _format_of(file), write=not dry_run, atomic=atomic, after_line=after_line
                )
            except (OSError, UnreadableFileError) as error:
                raise CommandError(f"{file}: {error}", returncode=EXIT_UNREADABLE) from None
        self.stdout.write(_summary(tally, dry_run=dry_run, atomic=atomic))
        if not dry_run:
            self.stdout.write(f"Correlation id of the events: {context.correlation_id}")
        if tally.bad:
            sys.exit(EXIT_BAD_LINES)

    def _import(self, file: str, format_: str, *, write: bool, atomic: bool, after_line: int) -> Tally:
        with _open(file) as binary, progress(_size(file)) as reporter:

            def on_chunk(tally: Tally) -> None:
                self._written = replace(tally)
                reporter.chunk(tally, binary.tell() if binary.seekable() else 0)

            # Accepts a byte order mark. Bytes that are not UTF-8 are kept, and refused with their line.
            stream = io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="")
            importer = Importer(
                write=write, atomic=atomic, on_bad_line=reporter.bad_line, on_chunk=on_chunk, after_line=after_line
            )
            return importer.run(READERS[format_](read_lines(stream)))


def _open(file: str) -> AbstractContextManager[BinaryIO]:
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
        return f"{summarize(tally)}. Nothing was written: this was a dry run."
    if atomic and tally.bad:
        return f"{tally.bad:,} bad lines. Nothing was written."
    return f"{summarize(tally)}."
