"""The output for a person at the terminal: a spinner and ticks on a terminal, plain lines elsewhere."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console as RichConsole
from rich.status import Status
from rich.text import Text

_EVERY = 10
_PICTURE_WIDTH = 150
# Without the web fonts that rich names: a picture should ask nobody for anything.
_PICTURE_FORMAT = re.sub(r"@font-face {{.*?}}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


class Console:
    """Prints steps as they happen. Safe to use from several threads.

    All goes to stderr where stdout is for something else.
    """

    def __init__(self, *, record: bool = False, to_stderr: bool = False) -> None:
        self._out = RichConsole(
            stderr=to_stderr, highlight=False, soft_wrap=True, record=record, width=_PICTURE_WIDTH if record else None
        )
        self._err = RichConsole(stderr=True, highlight=False, soft_wrap=True)
        self._lock = threading.Lock()
        self._status: Status | None = None

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """A piece of work: shown while it goes on, ticked off with its time when done. Not to be nested."""
        started = time.monotonic()
        if self._out.is_terminal:
            try:
                with self._out.status(text) as self._status:
                    yield
            finally:
                self._status = None
        else:
            self.line(f"{text} ...")
            yield
        self.line(f"{text}: done in {time.monotonic() - started:.1f} s", mark="✓")

    def progress(self, text: str) -> None:
        """How far the present step is."""
        if self._status is not None:
            self._status.update(text)
        else:
            self.line(f"  {text}")

    def count(self, text: str, number: int, total: int) -> None:
        """Progress of many small things; where lines stay, not a line for each."""
        if self._status is not None or number % _EVERY == 0 or number == total:
            self.progress(f"{text} {number} of {total}")

    def heading(self, text: str) -> None:
        self.line("")
        self._print(Text(text, style="bold"))

    def fact(self, label: str, text: str, outcome: str = "") -> None:
        """One observation, in columns: what was looked at, what came of it, the details."""
        line = Text("  ")
        line.append(f"{label:<22}")
        line.append(f"{outcome:<6}", style="green" if outcome == "hit" else "yellow")
        line.append(f" {text}")
        self._print(line)

    def line(self, text: str, mark: str = "") -> None:
        self._print(Text.assemble((f"{mark} " if mark else "", "green"), text))

    def error(self, text: str) -> None:
        """On stderr: the first line says what is wrong, the rest is detail."""
        self._complain(text, "bold red")

    def warning(self, text: str) -> None:
        """On stderr: it goes on, but not as one would expect."""
        self._complain(f"! {text}", "bold yellow")

    def _complain(self, text: str, style: str) -> None:
        sentence, _, detail = text.partition("\n")
        with self._lock:
            self._err.print(Text(sentence, style=style))
            if detail:
                self._err.print(Text(detail, style="dim"))

    def save_picture(self, path: Path, title: str) -> None:
        """Everything shown so far, as an SVG; only of a console that records."""
        self._out.save_svg(str(path), title=title, code_format=_PICTURE_FORMAT)

    def _print(self, text: Text) -> None:
        with self._lock:
            self._out.print(text)
