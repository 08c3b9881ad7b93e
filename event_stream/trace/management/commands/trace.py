"""`manage.py trace ID [--follow] [--json]`, `manage.py trace --key KEY --version N [--why]`"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser

from event_stream.terminal import TerminalCommand
from event_stream.trace import report
from event_stream.trace.inquiry import find_changes, find_trace
from event_stream.trace.settings import trace_settings
from event_stream.trace.timeline import Trace
from event_stream.trace.why import find_reasons
from event_stream.user_context import is_acceptable

WAITING, PARKED = 3, 4
_LOOK_EVERY_S = 0.5
_NO_KEY = "A key has 1 to 128 letters, digits and . _ : @ / + = -"
_UNTIL: dict[str, Callable[[Trace], bool]] = {
    "answered": lambda trace: trace.is_complete,
    "applied": lambda trace: trace.is_applied,
}


class Command(TerminalCommand):
    """Shows the steps of a change over all services, and why one is still to come."""

    help = (
        "Shows the steps of one change over all services: by its correlation id, or by a key and its version. "
        "Exit code: 0 if it is complete, 3 if something is waiting or a service could not be asked, 4 if something is "
        "parked or was discarded, 1 if nothing is known or after an error."
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        # Django's own --version is about Django.
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        name = trace_settings().key_name
        parser.add_argument("id", metavar="ID", nargs="?", help="a correlation id")
        options = dict.fromkeys(["--key", f"--{name}"])
        parser.add_argument(*options, dest="key", help=f"instead of ID: the {name} that was changed")
        parser.add_argument("--version", type=int, help="the version that the change made (default: the latest)")
        parser.add_argument(
            "--why",
            action="store_true",
            help="say what proves that an answer with this --key and --version was current",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON document")
        parser.add_argument("--follow", action="store_true", help="print steps as they happen, until it is complete")
        parser.add_argument(
            "--until",
            choices=list(_UNTIL),
            default="answered",
            help="when it is complete: once an answer had the new version (default), or once it is applied",
        )
        parser.add_argument("--timeout", type=float, metavar="S", help="with --follow: give up after so many seconds")

    def handle(self, *args: Any, **options: Any) -> None:
        is_reached = _UNTIL[options["until"]]
        if (options["id"] is None) == (options["key"] is None):
            raise CommandError("Give a correlation id, or --key.")
        if options["version"] is not None and options["key"] is None:
            raise CommandError("--version is about a --key.")
        if options["why"]:
            self._explain(options["key"], options["version"])
            return
        correlation_id = options["id"] or self._correlation_id_of(options["key"], options["version"])
        if not is_acceptable(correlation_id):
            raise CommandError("A correlation id has 1 to 128 letters, digits and . _ : @ / + = -")
        trace = (
            self._follow(correlation_id, is_reached, options["timeout"], quiet=options["json"])
            if options["follow"]
            else find_trace(correlation_id)
        )
        if options["json"]:
            self.stdout.write(json.dumps(report.as_dict(trace), ensure_ascii=False))
        elif not trace.is_known:
            missing = "".join(f" {it.service} can't be asked: {it.problem}." for it in trace.missing)
            raise CommandError(f"Nothing is known of {correlation_id}.{missing}")
        else:
            for line in report.lines(trace):
                self.stdout.write(line)
        if code := _exit_code(trace, is_reached):
            sys.exit(code)

    def _explain(self, key: str | None, version: int | None) -> None:
        if key is None or version is None:
            raise CommandError("--why needs --key and --version.")
        if not is_acceptable(key):
            raise CommandError(_NO_KEY)
        for line in find_reasons(key, version).lines():
            self.stdout.write(line)

    def _correlation_id_of(self, key: str, version: int | None) -> str:
        if not is_acceptable(key):
            raise CommandError(_NO_KEY)
        history = find_changes(key, version)
        if not history.changes:
            missing = "".join(f" {it.service} can't be asked: {it.problem}." for it in history.missing)
            what = f"{key} version {version}" if version is not None else key
            raise CommandError(
                f"No change of {what} is known: it is older than what is kept, or there never was one.{missing}"
            )
        return history.changes[0].correlation_id

    def _follow(
        self, correlation_id: str, is_reached: Callable[[Trace], bool], timeout_s: float | None, *, quiet: bool
    ) -> Trace:
        before, waited_s = None, 0.0
        while True:
            trace = find_trace(correlation_id)
            if not quiet:
                for line in report.news(before, trace):
                    self.stdout.write(line)
                    self.stdout.flush()
            if is_reached(trace) or trace.was_discarded or (timeout_s is not None and waited_s >= timeout_s):
                return trace
            before = trace
            time.sleep(_LOOK_EVERY_S)
            waited_s += _LOOK_EVERY_S


def _exit_code(trace: Trace, is_reached: Callable[[Trace], bool]) -> int:
    if not trace.is_known:
        return 1
    if trace.has_failed or trace.was_discarded:
        return PARKED
    return 0 if is_reached(trace) else WAITING
