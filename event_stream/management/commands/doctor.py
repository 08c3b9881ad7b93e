"""`manage.py doctor [--json] [--fail-level failed]`"""

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.module_loading import autodiscover_modules

from event_stream.doctor import Finding, Level, examine, registered
from event_stream.terminal import TerminalCommand

WARNINGS = 3
FAILURES = 4
UNCHECKED = 5
_WIDTH = max(map(len, Level))


class Command(TerminalCommand):
    help = (
        "Looks at everything that this service needs, and says of each thing whether it is well, and what to do if it "
        "isn't. It changes nothing, and ends within 15 s even where servers hang. Exit code 0 if all is well, 3 with "
        "warnings, 4 if something failed, 5 if nothing failed but something could not be checked, 1 if the command "
        "itself failed."
    )
    # They are the first thing that it looks at.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
        parser.add_argument(
            "--fail-level",
            choices=(Level.WARNING.value, Level.FAILED.value),
            default=Level.WARNING.value,
            help="with failed, a warning is shown and is no failure: exit code 0 (default: warning)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        autodiscover_modules("doctor")
        findings = []
        for finding in examine(registered()):
            findings.append(finding)
            if not options["json"]:
                self._write(finding)
        counts = Counter(finding.level for finding in findings)
        summary = ", ".join(f"{counts[level]} {level}" for level in reversed(Level) if counts[level])
        if options["json"]:
            by_severity = (Level.FAILED, Level.UNKNOWN, Level.WARNING)
            worst = next((level for level in by_severity if counts[level]), Level.OK)
            self.stdout.write(json.dumps({"level": worst, "findings": [asdict(finding) for finding in findings]}))
        else:
            self.stdout.write(summary)
        if counts[Level.FAILED]:
            raise CommandError(f"Something does not work: {summary}.", returncode=FAILURES)
        if counts[Level.UNKNOWN]:
            raise CommandError(f"Something could not be checked: {summary}.", returncode=UNCHECKED)
        if counts[Level.WARNING] and options["fail_level"] == Level.WARNING:
            raise CommandError(f"It works, with warnings: {summary}.", returncode=WARNINGS)

    def _write(self, finding: Finding) -> None:
        styles = {Level.OK: self.style.SUCCESS, Level.WARNING: self.style.WARNING, Level.FAILED: self.style.ERROR}
        self.stdout.write(f"{finding.level:{_WIDTH}}", styles.get(finding.level, str), ending="")
        remedy = f" -> {finding.remedy}" if finding.remedy else ""
        self.stdout.write(f"  {finding.subject}: {finding.text}{remedy}")
