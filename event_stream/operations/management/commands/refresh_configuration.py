"""manage.py refresh_configuration"""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from event_stream.operations.processes import Seen, running, seen_processes
from event_stream.operations.refreshes import request_refresh
from event_stream.operations.settings import operations_settings
from event_stream.terminal import TerminalCommand

_LOOK_EVERY_S = 0.2


class Command(TerminalCommand):
    """Exits with 0 once every process has followed, 1 where one has refused or has not answered in time."""

    help = (
        "Has every running process of this service (web, worker, relay) read its settings again from CONFIG_FILE, and "
        "apply what can change while it runs; what only a restart applies is named."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--timeout", type=float, default=30.0, metavar="S", help="how long to wait for the processes (30)"
        )

    def handle(self, *args: Any, timeout: float, **options: Any) -> None:
        if not operations_settings().reports:
            raise CommandError(
                "The processes follow nothing: EVENT_STREAM_OPERATIONS['reports'] is False. Send SIGHUP to each."
            )
        request = request_refresh()
        until_s = time.monotonic() + timeout
        processes = running(seen_processes())
        while not all(_followed(process, request) for process in processes) and time.monotonic() < until_s:
            time.sleep(_LOOK_EVERY_S)
            processes = running(seen_processes())
        if not processes:
            self.stdout.write("No process of this service is running.")
            return
        failed = sum(self._tell(process, request) for process in processes)
        versions = {_configuration(process)["version"] for process in processes if _followed(process, request)}
        if failed:
            raise CommandError(f"{failed} of {len(processes)} have not taken the configuration.")
        self.stdout.write(
            f"{len(processes)} followed; version{'s' * (len(versions) > 1)} {', '.join(sorted(versions))}"
        )

    def _tell(self, seen: Seen, request: int) -> bool:
        """Write a line for a process. Return whether it has not followed."""
        process, configuration = seen.process, _configuration(seen)
        name = f"{process.kind} {process.host}:{process.pid}"
        if not _followed(seen, request):
            self.stdout.write(f"{name}  no answer")
            return True
        if error := configuration["error"]:
            self.stdout.write(f"{name}  {configuration['version']}  unchanged: {error}")
            return True
        changed = configuration["needsRestart"]
        advice = f"  {', '.join(changed)} changed; restart to apply" if changed else ""
        self.stdout.write(f"{name}  {configuration['version']}{advice}")
        return False


def _configuration(seen: Seen) -> dict[str, Any]:
    configuration: dict[str, Any] = seen.state.get("configuration", {})
    return configuration


def _followed(seen: Seen, request: int) -> bool:
    return bool(_configuration(seen).get("request", 0) >= request)
