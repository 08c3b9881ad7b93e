"""`manage.py cache_audit [--duration S | --until-caught-up] [--sweep] [--repair] [--json]`"""

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import track

from event_stream.consumer.signals import stop_on_signals
from event_stream.consumer.worker import StopCondition, Worker
from event_stream.errors import UnavailableError
from event_stream.fenced_cache.audit import AFTER_S, BROKEN, ChangeAudit, Finding, Verdict, check_until, sweep
from event_stream.messaging.channel import registry
from organization_lookup import lookup
from organization_lookup.handlers import OrganizationChangeDecoder

BINDING = "auditOrgChanges"
INCONSISTENT = 3


def _seconds(text: str) -> tuple[float, ...]:
    values = tuple(sorted(float(part) for part in text.split(",")))
    if not all(0 <= value < math.inf for value in values):
        raise ValueError("seconds should be 0 or more")
    return values


class Command(BaseCommand):
    help = (
        "Measures how consistent the cache is. Without --sweep it follows the topic in a consumer group of its own and "
        "reads each changed organization again 1, 5, 30 and 60 s after the change, as a lookup does. With --sweep it "
        "compares every cached organization with the organization service. Exit code 0 if all was within the bound, "
        "3 if something stale was served after it (or, with --repair, had to be evicted), 1 for an error."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        length = parser.add_mutually_exclusive_group()
        length.add_argument("--duration", type=float, metavar="S", help="stop after S seconds; else on Ctrl-C")
        length.add_argument(
            "--until-caught-up",
            action="store_true",
            help="stop when the changes that were there at the start have had all their checks",
        )
        parser.add_argument(
            "--after",
            type=_seconds,
            default=AFTER_S,
            metavar="S,S,…",
            help="how long after a change to read again, in seconds (default: 1,5,30,60)",
        )
        parser.add_argument("--sweep", action="store_true", help="compare every cached entry instead")
        parser.add_argument("--repair", action="store_true", help="with --sweep: evict what is stale")
        parser.add_argument("--json", action="store_true", help="one JSON object instead of words")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["repair"] and not options["sweep"]:
            raise CommandError("--repair goes with --sweep.")
        try:
            consistent = self._sweep(options) if options["sweep"] else self._follow(options)
        except UnavailableError as error:
            raise CommandError(str(error)) from error
        if not consistent:
            raise CommandError("The cache was not as consistent as it promises: see above.", returncode=INCONSISTENT)

    # Following the topic.

    def _follow(self, options: dict[str, Any]) -> bool:
        stop = stop_on_signals()
        current = lookup.current()
        cache = current.cache
        binding = registry().channel(BINDING).binding
        audit = ChangeAudit(cache, OrganizationChangeDecoder(binding, versioned=current.versioned), options["after"])
        end_s = time.monotonic() + options["duration"] if options["duration"] else None

        def over() -> bool:
            return stop.is_set() or (end_s is not None and time.monotonic() >= end_s)

        finished = threading.Event()
        checker = threading.Thread(target=check_until, args=(audit, finished.is_set, finished.wait), daemon=True)
        checker.start()
        worker = Worker(BINDING, audit)
        worker.run(over, StopCondition.CAUGHT_UP if options["until_caught_up"] else StopCondition.STOPPED)
        while options["until_caught_up"] and audit.waiting and not over():
            stop.wait(0.1)
        finished.set()
        checker.join()
        self._report_changes(audit, as_json=options["json"])
        return not any(tally.stale for tally in audit.tallies if tally.after_s >= cache.settings.max_staleness_s)

    def _report_changes(self, audit: ChangeAudit, *, as_json: bool) -> None:
        if as_json:
            tallies = [
                asdict(each) | {"consistent_share": each.consistent_share, "stale_at_most": each.stale_at_most}
                for each in audit.tallies
            ]
            counts = {name: getattr(audit, name) for name in ("changes", "unversioned", "unreadable", "waiting")}
            self.stdout.write(json.dumps({**counts, "checks": tallies}))
            return
        self.stdout.write(f"{audit.changes} changes, of which {audit.unversioned} had no version to check.")
        for tally in audit.tallies:
            if tally.consistent_share is None:
                self.stdout.write(f"after {tally.after_s:4g} s: no check fell due")
                continue
            self.stdout.write(
                f"after {tally.after_s:4g} s: {tally.consistent_share:8.4%} of {tally.checked} consistent; "
                f"at 95 % confidence at most {tally.stale_at_most:.4%} are not"
            )
        stalest_s = max(tally.greatest_staleness_s for tally in audit.tallies)
        self.stdout.write(f"greatest staleness seen: {stalest_s:.3f} s" if stalest_s else "nothing stale was seen")
        self.stdout.write("next: manage.py cache_audit --sweep compares every cached entry with its source.")

    # Comparing every entry.

    def _sweep(self, options: dict[str, Any]) -> bool:
        current = lookup.current()
        counts: Counter[Verdict] = Counter()
        broken: list[Finding] = []
        findings = sweep(current.cache, current.fetch, current.cache.ids(), wait=time.sleep, repair=options["repair"])
        for finding in self._shown(findings, quiet=options["json"]):
            counts[finding.verdict] += 1
            if finding.verdict in BROKEN:
                broken.append(finding)
        if options["json"]:
            found = [asdict(each) | {"verdict": each.verdict.name} for each in broken]
            self.stdout.write(json.dumps({"counts": {v.name: n for v, n in counts.items()}, "broken": found}))
            return not broken
        for verdict, count in counts.most_common():
            self.stdout.write(f"{count:6} {verdict.value}")
        for each in broken:
            done = ", evicted" if options["repair"] else ""
            self.stdout.write(f"{each.id}: cached {each.cached_version}, true {each.origin_version}{done}")
        self.stdout.write(f"{sum(counts.values())} entries were compared with the organization service.")
        if broken and not options["repair"]:
            self.stdout.write("next: manage.py cache_audit --sweep --repair evicts them; manage.py cache_inspect ID")
        return not broken

    def _shown(self, findings: Iterator[Finding], *, quiet: bool) -> Iterator[Finding]:
        console = Console(stderr=True)
        if quiet or not console.is_terminal:
            yield from findings
        else:
            yield from track(findings, "Comparing", console=console)
