"""How far a long command is: a bar on a terminal, a line now and then elsewhere. On stderr, with the bad lines."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from organizations.importing.loading import Tally
from organizations.importing.reading import BadLine

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
