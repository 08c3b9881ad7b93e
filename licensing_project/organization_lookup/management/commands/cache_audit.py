"""`manage.py cache_audit [--duration S | --until-caught-up] [--meter] [--sweep] [--repair] [--json]`"""

import json
import math
import threading
import time
from argparse import ArgumentTypeError
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.progress import track

from event_stream import signals
from event_stream.consumer.shutdown import stop_on_signals
from event_stream.consumer.worker import StopCondition, Worker
from event_stream.errors import UnavailableError
from event_stream.fenced_cache import Deadline, Fetched, FetchFailed
from event_stream.fenced_cache.audit import AFTER_S, BROKEN, ChangeAudit, Finding, Verdict, check_until, sweep
from event_stream.messaging.channel import registry
from event_stream.operations.consistency import ConsistencyMeter, record_with_worker
from event_stream.terminal import TerminalCommand
from organization_lookup import lookup
from organization_lookup.client import UpstreamAuthError
from organization_lookup.handlers import OrganizationChangeDecoder
from organization_lookup.operations import find_as_a_request

BINDING = "auditOrgChanges"
INCONSISTENT = 3
_DAY_S = 86_400
UNCHECKED = 5


def _seconds(text: str) -> tuple[float, ...]:
    try:
        values = tuple(sorted(float(part) for part in text.split(",")))
    except ValueError:
        values = (math.nan,)
    if not all(0 <= value <= _DAY_S for value in values):
        raise ArgumentTypeError(f"should be numbers of seconds between commas, each 0 to {_DAY_S}, not {text!r:.80}")
    return values


def _duration(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ArgumentTypeError(f"should be a number of seconds above 0, not {text!r:.80}")
    return seconds


@dataclass(frozen=True, slots=True)
class Judgement:
    """`unchecked` says what could not be checked, and why; "" where everything was."""

    consistent: bool
    unchecked: str = ""


class Command(TerminalCommand):
    help = (
        "Measures how consistent the cache is. Without --sweep it follows the topic in a consumer group of its own and "
        "reads each changed organization again 1, 5, 30 and 60 s after the change, as a lookup does. With --sweep it "
        "compares every cached organization with the organization service. Exit code 0 if all was within the bound, "
        "3 if something stale was served after it (or, with --repair, had to be evicted), 5 if nothing stale was seen "
        "but something, or everything, could not be checked, 1 for an error."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        length = parser.add_mutually_exclusive_group()
        length.add_argument("--duration", type=_duration, metavar="S", help="stop after S seconds; else on Ctrl-C")
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
        parser.add_argument(
            "--meter",
            action="store_true",
            help="look organizations up as requests do, and record what is found for the operations pages",
        )
        parser.add_argument(
            "--changes-per-second",
            type=_duration,
            default=5.0,
            metavar="N",
            help="with --meter: sample at most so many changes (default: 5)",
        )
        parser.add_argument("--sweep", action="store_true", help="compare every cached entry instead")
        parser.add_argument("--repair", action="store_true", help="with --sweep: evict what is stale")
        parser.add_argument("--json", action="store_true", help="one JSON object instead of words")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["repair"] and not options["sweep"]:
            raise CommandError("--repair goes with --sweep.")
        if options["meter"] and (options["sweep"] or options["until_caught_up"]):
            raise CommandError("--meter goes on until it is stopped: neither with --sweep nor with --until-caught-up.")
        try:
            self._check_settings()
            judged = self._sweep(options) if options["sweep"] else self._follow(options)
            self._check_settings()
        except UnavailableError as error:
            raise CommandError(f"Not checked: {error}", returncode=UNCHECKED) from error
        if not judged.consistent:
            raise CommandError("The cache was not as consistent as it promises: see above.", returncode=INCONSISTENT)
        if judged.unchecked:
            raise CommandError(f"Not checked: {judged.unchecked}.", returncode=UNCHECKED)

    def _check_settings(self) -> None:
        """With other settings than the worker's, this process would look where no lookup does."""
        difference = lookup.current().cache.disagreement()
        if difference is not None:
            raise CommandError(f"Not checked: {difference}. {lookup.REMEDY}.", returncode=UNCHECKED)

    # Following the topic.

    def _follow(self, options: dict[str, Any]) -> Judgement:
        stop = stop_on_signals()
        current = lookup.current()
        cache = current.cache
        binding = registry().channel(BINDING).binding
        decode = OrganizationChangeDecoder(binding, versioned=current.versioned)
        if options["meter"]:
            signals.command_started.send(type(self), role="worker")
            meter = ConsistencyMeter(cache, decode, find_as_a_request, per_s=options["changes_per_second"])
            record_with_worker(meter, BINDING)
            audit = meter.audit
        else:
            audit = ChangeAudit(cache, decode, options["after"])
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
        bound_s = cache.settings.max_staleness_s
        unchecked = _unchecked(audit, bound_s, reading=worker.reading)
        self._report_changes(audit, unchecked, as_json=options["json"])
        stale = any(tally.stale for tally in audit.tallies if tally.after_s >= bound_s)
        # A meter is there for the page: that nothing came until it was stopped is no failure.
        return Judgement(not stale, "" if options["meter"] else unchecked)

    def _report_changes(self, audit: ChangeAudit, unchecked: str, *, as_json: bool) -> None:
        if as_json:
            tallies = [
                asdict(each) | {"consistent_share": each.consistent_share, "stale_at_most": each.stale_at_most}
                for each in audit.tallies
            ]
            counts = {name: getattr(audit, name) for name in ("changes", "unversioned", "unreadable", "waiting")}
            self.stdout.write(json.dumps({**counts, "checks": tallies, "unchecked": unchecked}))
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
        if stalest_s:
            self.stdout.write(f"greatest staleness seen: {stalest_s:.3f} s")
        elif not unchecked:
            self.stdout.write("nothing stale was seen")
        self.stdout.write("next: manage.py cache_audit --sweep compares every cached entry with its source.")

    # Comparing every entry.

    def _sweep(self, options: dict[str, Any]) -> Judgement:
        current = lookup.current()
        counts: Counter[Verdict] = Counter()
        broken: list[Finding] = []

        def fetch(id: str, budget: Deadline) -> Fetched:
            try:
                return current.fetch(id, budget)
            except UpstreamAuthError as refused:
                raise FetchFailed(f"it answers {refused.status} to this command") from refused

        findings = sweep(current.cache, fetch, current.cache.ids(), wait=time.sleep, repair=options["repair"])
        for finding in self._shown(findings, quiet=options["json"]):
            counts[finding.verdict] += 1
            if finding.verdict in BROKEN:
                broken.append(finding)
        unknown, total = counts[Verdict.UNKNOWN], sum(counts.values())
        unchecked = f"the organization service gave no answer about {unknown} of {total} entries" if unknown else ""
        if options["json"]:
            found = [asdict(each) | {"verdict": each.verdict.name} for each in broken]
            report = {"counts": {v.name: n for v, n in counts.items()}, "broken": found, "unchecked": unchecked}
            self.stdout.write(json.dumps(report))
            return Judgement(not broken, unchecked)
        for verdict, count in counts.most_common():
            self.stdout.write(f"{count:6} {verdict.value}")
        for each in broken:
            done = ", evicted" if options["repair"] else ""
            self.stdout.write(f"{each.id}: cached {each.cached_version}, true {each.origin_version}{done}")
        self.stdout.write(f"{total - unknown} of {total} entries were compared with the organization service.")
        if broken and not options["repair"]:
            self.stdout.write("next: manage.py cache_audit --sweep --repair evicts them; manage.py cache_inspect ID")
        return Judgement(not broken, unchecked)

    def _shown(self, findings: Iterator[Finding], *, quiet: bool) -> Iterator[Finding]:
        console = Console(stderr=True)
        if quiet or not console.is_terminal:
            yield from findings
        else:
            yield from track(findings, "Comparing", console=console)


def _unchecked(audit: ChangeAudit, bound_s: float, *, reading: bool) -> str:
    """What can't be said of the time that was followed; "" where all that was due was checked."""
    if not reading:
        return "the topic could not be read, or not to the end"
    if audit.overdue:
        return f"{audit.overdue} checks that were due could not be made: Redis is away"
    if not audit.changes:
        return "no change came"
    if audit.unversioned == audit.changes:
        return "no change had a version to check"
    decisive = [tally for tally in audit.tallies if tally.after_s >= bound_s] or audit.tallies
    if not any(tally.checked for tally in decisive):
        return f"no check fell due {decisive[0].after_s:g} s or more after a change"
    return ""
