"""Dead letters: by group, by filter or one by one, to be replayed, edited and replayed, or discarded."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, QueryDict

from event_stream.admin_links import trace_link
from event_stream.dead_letters import dead_letter_channel
from event_stream.dead_letters.log import as_dict, whole_letters
from event_stream.dead_letters.models import parking_bindings
from event_stream.dead_letters.record import DeadLetterRecord
from event_stream.messaging.headers import decode
from event_stream.operations.dead_letters import (
    DONE,
    Letter,
    LetterFilter,
    Verb,
    groups,
    open_letters,
    order,
    settle,
    settlements,
)
from event_stream.operations.models import Settlement
from event_stream.operations.pages import ActionError, Done, whole_number
from event_stream.user_context import CORRELATION_ID

_VERBS: Mapping[str, Verb] = {"replay": "replay", "edit": "replay", "discard": "discard"}
"""By the name of a form's action."""
_LETTERS_SHOWN = 50
_LONGEST = 200
_LONGEST_BODY = 20_000
"""In characters: a longer one can't be edited here."""
_WAIT_S = 2.0


class DeadLettersPage:
    slug = "dead-letters"
    title = "Dead letters"
    # Each look reads the destinations from their start.
    refreshes = False
    permission = "event_stream_dead_letters.settle_deadletter"

    def is_available(self) -> bool:
        return bool(parking_bindings())

    def context(self, request: HttpRequest) -> Mapping[str, Any]:
        if progress := whole_number(request.GET.get("progress", "")):
            settlement = Settlement.objects.filter(pk=progress).first()
            is_running = settlement is not None and settlement.finished_at is None
            return {"settlement": settlement, "refreshes": is_running, "is_progress": True}
        there, wanted = open_letters(), _filter(request.GET)
        matching = wanted.of(there.letters)
        verb = request.GET.get("confirm", "")
        context: dict[str, Any] = {
            "unreadable": there.unreadable,
            "total": len(there.letters),
            "wanted": wanted,
            "matching": matching[:_LETTERS_SHOWN],
            "count": len(matching),
            "more": max(0, len(matching) - _LETTERS_SHOWN),
            "groups": groups(matching),
            "bindings": [binding.name for binding in parking_bindings()],
            "settlements": list(settlements()),
        }
        if verb in DONE and matching:
            through_ms = max(letter.open_letter.letter.parked_at_ms for letter in matching)
            context |= {"verb": verb, "order": order(matching, there.letters), "through_ms": through_ms}
        if wanted.id and len(matching) == 1:
            context |= _whole(matching[0])
        return context

    def act(self, request: HttpRequest) -> Done:
        form = request.POST
        verb = _VERBS.get(form.get("action", ""))
        if verb is None:
            raise ActionError("There is no such action.")
        edited = _edited(form) if form["action"] == "edit" else None
        wanted, there = _filter(form), open_letters()
        if there.unreadable:
            raise ActionError(there.unreadable[0])
        chosen = wanted.of(there.letters)
        if not chosen:
            raise ActionError("No open dead letter matches any longer.")
        shown = whole_number(form.get("count", "")) or 0
        if len(chosen) > shown:
            raise ActionError("Nothing was done: there are more of them by now.")
        settlement = settle(verb, wanted, len(chosen), user_id=request.user.pk or 0, wait_s=_WAIT_S, edited=edited)
        if settlement.finished_at is None:
            text = f"{len(chosen):,} dead letters are being {DONE[verb]}: this goes on by itself."
        else:
            before, after = len(there.letters), len(open_letters().letters)
            text = f"{settlement.done:,} of {len(chosen):,} were {DONE[verb]}: {before:,} were open, {after:,} are now."
        return Done(text, {"progress": str(settlement.pk)})


def _filter(form: QueryDict) -> LetterFilter:
    through_ms = whole_number(form.get("through_ms", ""))
    return LetterFilter(
        binding=form.get("binding", ""),
        text=form.get("q", "")[:_LONGEST],
        group=form.get("group", ""),
        id=form.get("id", ""),
        through_ms=through_ms,
    )


def _edited(form: QueryDict) -> bytes:
    if not form.get("id"):
        raise ActionError("One dead letter can be edited at a time.")
    body = form.get("body", "")
    if not body:
        raise ActionError("The body is empty; discard the dead letter instead.")
    # Browsers write line ends in their own way.
    return body.replace("\r\n", "\n").encode()


def _whole(letter: Letter) -> Mapping[str, Any]:
    """Headers and body of one letter, readable; the body can be edited where it is text of a moderate length."""
    channel = dead_letter_channel(letter.binding)
    [(_, whole)] = whole_letters(channel.read, [letter.open_letter])
    if whole is None:
        return {}
    correlation_id = decode(whole.headers).get(CORRELATION_ID, "")
    return {
        "letter": letter,
        "shown": as_dict(whole),
        "body": _editable(whole),
        "trace": trace_link(correlation_id) if correlation_id else "",
    }


def _editable(whole: DeadLetterRecord) -> str | None:
    if whole.omitted:
        return ""
    try:
        text = (whole.value or b"").decode()
    except UnicodeDecodeError:
        return None
    return text if len(text) <= _LONGEST_BODY and "\0" not in text else None
