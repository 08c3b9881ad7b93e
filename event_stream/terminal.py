"""What a command writes to a person's terminal: nothing foreign steers it, and an error is a sentence."""

from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError, OutputWrapper
from django.db import Error

from event_stream.database_faults import database_fault

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


class TerminalCommand(BaseCommand):
    """The base of every command: nothing foreign reaches the terminal unescaped, nor with an error's text.

    A fault of the database ends a command with a sentence on stderr and an exit code; other errors keep a traceback.
    """

    database_exit_code = 1
    """The exit code after a fault of the database."""

    def database_advice(self, options: Mapping[str, Any]) -> str:
        """Return what to do after a fault of the database; `options` are those of `handle`."""
        return "Run the command again once the database answers."

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except Error as error:
            if database_fault(error) is None:
                raise
            # The lines after the first say what may be the cause.
            reason = str(error).strip().partition("\n")[0].rstrip(".")
            raise CommandError(
                f"The database has failed: {reason}. {self.database_advice(options)}",
                returncode=self.database_exit_code,
            ) from error

    def __setattr__(self, name: str, value: Any) -> None:
        # Django replaces both, in __init__ and for call_command(stdout=…).
        if name in {"stdout", "stderr"} and not isinstance(value, EscapingOutput):
            value = EscapingOutput(getattr(value, "_out", value))
        super().__setattr__(name, value)
