"""What a command writes to a person's terminal: nothing foreign steers it, and its end is a sentence at most."""

import errno
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import ManagementUtility
from django.core.management.base import BaseCommand, CommandError, OutputWrapper
from django.db import Error

from event_stream.database_faults import database_fault, is_unmigrated

CONTROL_CODES = (
    *range(0x20),
    0x7F,
    *range(0x80, 0xA0),
    # Direction marks and Unicode's own line ends.
    *(0x061C, 0x200E, 0x200F),
    *range(0x2028, 0x202F),
    *range(0x2066, 0x206A),
)
"""Characters that can end a line or steer a terminal: C0, DEL, C1, and Unicode's."""

# As JSON writes them, so that a line of JSON stays one.
_ESCAPES = {code: f"\\u{code:04x}" for code in CONTROL_CODES if chr(code) not in "\n\t"}


def escaped(text: str) -> str:
    """Return the text with control characters as `\\u001b`; line ends and tabs stay."""
    return text.translate(_ESCAPES)


class EscapingOutput(OutputWrapper):
    """A command's output. Styles are applied after the escaping, so pass them as `style_func`."""

    def write(  # type: ignore[override] # as the stubs have it of OutputWrapper itself
        self, msg: str = "", style_func: Any = None, ending: str | None = None
    ) -> None:
        super().write(escaped(str(msg)), style_func, ending)


UNREAD = 128 + signal.SIGPIPE
"""The exit code of a command whose output nobody reads to its end, as the shell has it for other programs."""
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


@contextmanager
def checked_output() -> Iterator[None]:
    """Surround what prints, so that all of it is written at the end, in any encoding, or the process ends.

    Raises SystemExit: with `UNREAD`, without a word, if nobody reads on (`| head -1`); with 1 and a sentence if the
    output can't be written. A character that the encoding lacks is written as an escape.
    """
    if sys.stdout is None:
        # It was closed before the start.
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - until the end of the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        unread = [stream for stream in (sys.stdout, sys.stderr) if _is_unread(stream)]
        if not unread:
            # That of a connection.
            raise
        _discard(*unread)
        sys.exit(UNREAD)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        _discard(sys.stdout)
        sys.exit(f"The output can't be written: {error.strerror}.")


def _is_unread(stream: TextIO) -> bool:
    """Whether it is a pipe whose reader is gone."""
    poll = select.poll()
    try:
        poll.register(stream.fileno(), 0)
    except OSError:
        return False
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def _discard(*streams: TextIO) -> None:
    """Let what is still in their buffers go nowhere: the interpreter would fail once more, with a traceback."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        with suppress(OSError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class _Stopped(KeyboardInterrupt):
    """SIGINT or SIGTERM has come."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGINT and SIGTERM raise `_Stopped`, unless the command handles them itself. A second one ends the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise _Stopped(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except _Stopped as stopped:
        sys.exit(128 + stopped.number)
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not signal.SIG_DFL:
                signal.signal(number, handler)


@contextmanager
def stops_deferred() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait for the end of what is in here, and which would otherwise be half done.

    A second one does not wait.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            handlers[number](number, frame)

    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        if callable(handler):
            handlers[number] = handler
            signal.signal(number, note)
    try:
        yield
    finally:
        for handled, handler in handlers.items():
            signal.signal(handled, handler)
        # Also in place of an error: the signal says how it is to end.
        if came:
            handlers[came[0]](came[0], None)


class TerminalCommand(BaseCommand):
    """The base of every command: nothing foreign reaches the terminal unescaped, nor with an error's text.

    From the command line, it ends with a sentence on stderr and an exit code after a fault of the database, or for one
    that is not migrated, after SIGINT (130) and SIGTERM (143), and where its output can't be written (1); without a
    word where nobody reads that (141). Other errors keep a traceback. `run` does the same for wrong settings.
    """

    database_exit_code = 1
    """The exit code after a fault of the database."""

    def database_advice(self, options: Mapping[str, Any]) -> str:
        """Return what to do after a fault of the database; `options` are those of `handle`."""
        return "Run the command again once the database answers."

    def stop_advice(self, options: Mapping[str, Any]) -> str:
        """Return what is done, and what to do, after SIGINT or SIGTERM; `options` are those of `handle`."""
        return ""

    def run_from_argv(self, argv: list[str]) -> None:
        with checked_output(), _stopped_by_signals():
            super().run_from_argv(argv)

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            try:
                return super().execute(*args, **options)
            finally:
                # If that fails, it is said in place of how the command has ended, not after it.
                self.stdout.flush()
        except _Stopped as stopped:
            sentence = f"Stopped by {signal.Signals(stopped.number).name}. {self.stop_advice(options)}".strip()
            raise CommandError(sentence, returncode=128 + stopped.number) from stopped
        except Error as error:
            reason = _sentence(error, self.database_advice(options))
            if reason is None:
                raise
            raise CommandError(reason, returncode=self.database_exit_code) from error

    def __setattr__(self, name: str, value: Any) -> None:
        # Django replaces both, in __init__ and for call_command(stdout=…).
        if name in {"stdout", "stderr"} and not isinstance(value, EscapingOutput):
            value = EscapingOutput(getattr(value, "_out", value))
        super().__setattr__(name, value)


SETTING_EXIT_CODE = 1
"""The exit code of every command where a setting is wrong."""


def run(argv: Sequence[str]) -> None:
    """Run a management command, as `manage.py` does. Exits with a sentence on stderr where a setting is wrong.

    So do Django's own commands where the database is away or is not migrated. `--traceback` shows the whole error.
    """
    with checked_output():
        try:
            _Utility(list(argv)).execute()
        except (ImproperlyConfigured, ModuleNotFoundError, Error) as error:
            sentence = _sentence_of_settings(error)
            if sentence is None or "--traceback" in argv:
                raise
            sys.stderr.write(escaped(f"{type(error).__name__}: {sentence}").replace("\n", " ") + "\n")
            sys.exit(SETTING_EXIT_CODE)


class _Utility(ManagementUtility):
    """Django's own, which runs `shell` and some others without the settings where these are wrong."""

    def fetch_command(self, subcommand: str) -> BaseCommand:
        # The first access reads the settings, and raises what is wrong with them.
        _ = settings.INSTALLED_APPS
        return super().fetch_command(subcommand)


def _sentence_of_settings(error: Exception) -> str | None:
    if isinstance(error, Error):
        return _sentence(error, "Run the command again once the database answers.")
    if isinstance(error, ModuleNotFoundError):
        module = os.environ.get("DJANGO_SETTINGS_MODULE", "")
        if not f"{module}.".startswith(f"{error.name}."):
            return None
        return f"DJANGO_SETTINGS_MODULE should be the name of a module with the settings, not {module!r}."
    return str(error)


def _sentence(error: Error, advice: str) -> str | None:
    """Say what has happened to the database, and what to do; None for an error that is neither its nor a person's."""
    # The lines after the first say what may be the cause.
    reason = str(error).strip().partition("\n")[0].rstrip(".")
    if is_unmigrated(error):
        return f"The database lacks what this version needs: {reason}. Run manage.py migrate."
    if database_fault(error) is not None:
        return f"The database has failed: {reason}. {advice}"
    return None
