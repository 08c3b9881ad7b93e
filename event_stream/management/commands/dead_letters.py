"""`manage.py dead_letters list|show|replay|discard`"""

import json
import re
from argparse import ArgumentTypeError
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from event_stream import conf
from event_stream.conf import Binding
from event_stream.dead_letters import dead_letter_channel
from event_stream.dead_letters.log import (
    DeadLetterLog,
    OpenLetter,
    Selection,
    as_dict,
    dead_letter_log,
    shown_key,
    shown_time,
    whole_letters,
)
from event_stream.dead_letters.replay import ReplayService
from event_stream.errors import UnavailableError
from event_stream.messaging.channel import Channel, registry
from event_stream.terminal import TerminalCommand, stops_deferred

ALARM = 3
UNSETTLED = 4
_CLOSE_TIMEOUT_S = 5.0
_DURATION = r"(\d{1,6})([smhd])"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(text: str) -> timedelta:
    found = re.fullmatch(_DURATION, text)
    if found is None:
        raise ArgumentTypeError(f"should be a number with s, m, h or d, such as 90s, 15m or 2d, not {text!r:.80}")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _instant_ms(text: str) -> int:
    """An instant, or how long ago."""
    try:
        if re.fullmatch(_DURATION, text):
            at = datetime.now(UTC) - _duration(text)
        else:
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=at.tzinfo or UTC)
        return int(at.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(
            f"should be a time such as 2026-01-31T12:00, or how long ago, such as 90s, 15m or 2d, not {text!r:.80}"
        ) from None


def _offsets(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    try:
        return int(first), int(last or first)
    except ValueError:
        raise ArgumentTypeError(f"should be an offset, or two with - between them, not {text!r:.80}") from None


class Command(TerminalCommand):
    help = (
        "Lists, shows, replays or discards the messages that a worker could not handle. Exit code 0, or 3 for an alarm "
        "of `list`, 4 where some could not be replayed, 130 or 143 when stopped by SIGINT or SIGTERM, 1 for any other "
        "error."
    )
    _settled = ""

    def stop_advice(self, options: Mapping[str, Any]) -> str:
        return self._settled

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|show|replay|discard")
        listing = verbs.add_parser("list", help="one line each")
        listing.add_argument("--alarm-count", type=int, metavar="N", help="exit code 3 where there are more than N")
        listing.add_argument(
            "--alarm-age", type=_duration, metavar="AGE", help="exit code 3 where one is older: 90s, 15m, 2d"
        )
        showing = verbs.add_parser("show", help="everything that is known, with body and traceback")
        replaying = verbs.add_parser("replay", help="send them back to where they came from, for their group alone")
        discarding = verbs.add_parser("discard", help="mark them as dealt with")
        for verb in (listing, showing, replaying, discarding):
            verb.add_argument("ids", nargs="*", metavar="ID", help="of the letters, as `list` shows them")
            verb.add_argument("--binding", help="whose letters; needed where several bindings park theirs")
            verb.add_argument("--error", metavar="TEXT", help="a part of the error")
            verb.add_argument("--key", help='of the message; "-" for none')
            verb.add_argument("--since", type=_instant_ms, metavar="TIME", help="parked since: 2026-01-31T12:00, 2h")
            verb.add_argument("--until", type=_instant_ms, metavar="TIME", help="parked before")
            verb.add_argument("--partition", type=int, help="where the message failed first")
            verb.add_argument("--offset", type=_offsets, metavar="N[-M]", help="where the message failed first")
        for verb in (listing, showing):
            verb.add_argument("--json", action="store_true", help="a JSON object a line")
        for verb in (replaying, discarding):
            verb.add_argument("--all", action="store_true", help="needed where nothing else selects letters")
            verb.add_argument("--dry-run", action="store_true", help="say what would be done")

    def handle(self, *args: Any, **options: Any) -> None:
        selection = Selection(
            ids=frozenset(options["ids"]),
            error=options["error"],
            key=options["key"],
            since_ms=options["since"],
            until_ms=options["until"],
            partition=options["partition"],
            offsets=options["offset"],
        )
        if selection.is_everything and options.get("all") is False:
            raise CommandError(f"Say which to {options['verb']}: by ID, --error, --key, --since, --offset … or --all.")
        binding = _binding(options["binding"])
        parked = dead_letter_channel(binding)
        try:
            found = dead_letter_log(parked.read())
            chosen = selection.of(found.letters)
            missing = selection.ids - {str(each.letter.origin) for each in found.letters}
            if missing:
                raise CommandError(f"There is no open letter {', '.join(sorted(missing))}.")
            if options["verb"] == "list":
                self._list(parked, found, chosen, options)
            elif options["verb"] == "show":
                self._show(parked, chosen, as_json=options["json"])
            else:
                settling = ReplayService(registry().channel(binding.name), parked)
                self._settle(options["verb"], settling, chosen, found.letters, dry_run=options["dry_run"])
        except UnavailableError as error:
            raise CommandError(
                f"{parked.binding.destination} can't be used: {error}. If it is not there, create it with as many "
                "partitions as its source."
            ) from error
        finally:
            parked.close(_CLOSE_TIMEOUT_S)

    def _list(self, parked: Channel, found: DeadLetterLog, chosen: list[OpenLetter], options: dict[str, Any]) -> None:
        if options["json"]:
            self._show(parked, chosen, as_json=True)
        else:
            for each in chosen:
                letter = each.letter
                at = shown_time(letter.parked_at_ms)
                reason = f"{letter.error.rpartition('.')[2]}: {letter.reason.splitlines()[0] if letter.reason else ''}"
                self.stdout.write(f"{letter.origin}  {at}  key {shown_key(letter.key)}  {reason:.100}")
            foreign = f", {found.foreign} records that are none" if found.foreign else ""
            self.stdout.write(f"{len(chosen)} dead letters in {parked.binding.destination}{foreign}")
            if chosen:
                self.stdout.write("next: manage.py dead_letters show ID; replay ID, or discard ID")
        if options["alarm_count"] is not None and len(chosen) > options["alarm_count"]:
            raise CommandError(
                f"There are {len(chosen)} dead letters, more than {options['alarm_count']}.", returncode=ALARM
            )
        oldest_ms = min((each.letter.parked_at_ms for each in chosen), default=None)
        if options["alarm_age"] is not None and oldest_ms is not None:
            age = datetime.now(UTC) - datetime.fromtimestamp(oldest_ms / 1000, UTC)
            if age > options["alarm_age"]:
                since = shown_time(oldest_ms)
                raise CommandError(
                    f"The oldest dead letter has waited since {since}, longer than {options['alarm_age']}.",
                    returncode=ALARM,
                )

    def _show(self, parked: Channel, chosen: list[OpenLetter], *, as_json: bool) -> None:
        for open_letter, letter in whole_letters(parked.read, chosen):
            if letter is None:
                self.stderr.write(f"{open_letter.letter.origin} is no longer in {parked.binding.destination}")
                continue
            fields = as_dict(letter)
            if as_json:
                self.stdout.write(json.dumps(fields))
                continue
            for name, value in fields.items():
                text = str(value).rstrip("\n").replace("\n", "\n    ")
                self.stdout.write(f"{name}:\n    {text}" if "\n" in text else f"{name}: {text}")
            self.stdout.write("")

    def _settle(
        self, verb: str, settling: ReplayService, chosen: list[OpenLetter], among: list[OpenLetter], *, dry_run: bool
    ) -> None:
        if dry_run:
            for each in chosen:
                self.stdout.write(f"would {verb} {each.letter.origin}  key {shown_key(each.letter.key)}")
            self.stdout.write(f"{len(chosen)} dead letters; nothing was done")
            return
        done_word = "replayed" if verb == "replay" else "discarded"
        outcomes = settling.replay(chosen, among) if verb == "replay" else settling.discard(chosen)
        done = left = 0
        self._settled = "Nothing was done."
        while True:
            # What was sent is marked and counted, whatever comes in between.
            with stops_deferred():
                outcome = next(outcomes, None)
                if outcome is None:
                    break
                if outcome.problem is None:
                    done += 1
                else:
                    left += 1
                self._settled = f"{done} of {len(chosen)} are {done_word}; the same command goes on with the others."
            if self.stderr.isatty():
                is_last = done + left == len(chosen)
                self.stderr.write(f"{done + left} of {len(chosen)}", ending="\n" if is_last else "\r")
            if outcome.problem is not None:
                self.stderr.write(f"{outcome.open_letter.letter.origin} is left: {outcome.problem}")
        self.stdout.write(f"{done} dead letters {done_word}")
        if left:
            raise CommandError(f"{left} dead letters could not be replayed: see above.", returncode=UNSETTLED)


def _binding(name: str | None) -> Binding:
    parking = {each.name: each for each in conf.configuration().bindings.values() if each.consumer.dead_letters}
    known = ", ".join(sorted(parking)) or "none"
    if name is None and len(parking) == 1:
        return next(iter(parking.values()))
    if name not in parking:
        raise CommandError(f"--binding should be one that parks dead letters; those are: {known}.")
    return parking[name]
