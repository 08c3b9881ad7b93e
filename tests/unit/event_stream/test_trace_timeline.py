"""The parts of several services become one timeline, and a step that is still to come has its reason."""

import json
from dataclasses import replace
from datetime import datetime

import pytest

from event_stream.trace import report
from event_stream.trace.parts import (
    Change,
    Consumed,
    Group,
    Missing,
    Parked,
    Part,
    Span,
    Standing,
)
from event_stream.trace.serializers import PartSerializer, part_from
from event_stream.trace.timeline import AWAY_AFTER, ONE_BY_ONE, Name, State
from tests.unit.event_stream.trace_parts import (
    BATCH,
    CHANGE,
    FILL,
    GROUP,
    NOW,
    STANDING,
    TOPIC,
    at,
    consumed,
    merged,
    produced,
    reason,
)


def test_a_change_that_went_all_the_way_has_each_step_with_its_time() -> None:
    trace = merged(produced(CHANGE), consumed(batches=(BATCH,), fills=(FILL,)))

    [line] = trace.lines
    assert [step.name for step in line.steps] == list(Name)
    assert [step.at for step in line.steps] == [None, *map(at, (0, 5, 9, 12, 12, 500, 501))]
    assert [step.duration_ms for step in line.steps] == [None, None, 5, 4, 3, 0, 488, 1]
    assert (trace.is_complete, trace.is_applied, trace.has_failed) == (True, True, False)
    assert line.took_ms == 12
    assert (trace.applied, trace.applied_is_exact) == (1, True)


UNSENT = replace(CHANGE, sent_at=None, partition=None, offset=None)


@pytest.mark.parametrize(
    ("change", "about", "state", "text"),
    [
        (UNSENT, {"relay_leads": False}, State.WAITING, "no relay is running: nothing is sent"),
        (UNSENT, {"relay_leads": True, "ahead": 12}, State.WAITING, "the relay is behind: 12 before it"),
        (UNSENT, {"relay_leads": True}, State.WAITING, "it is the next for the relay, if the broker takes messages"),
        (replace(UNSENT, parked_at=at(3), error="too large"), {}, State.FAILED, "parked: too large"),
        (
            replace(CHANGE, sent_at=None, parked_at=at(3), error="too large"),
            {},
            State.FAILED,
            "parked: too large; a fallback message went in its place to things, partition 2, offset 40",
        ),
    ],
)
def test_what_is_not_sent_says_why(change: Change, about: dict[str, object], state: State, text: str) -> None:
    assert reason(merged(produced(change, **about), consumed()), Name.SENT) == (state, text)


@pytest.mark.parametrize(
    ("standings", "now", "text"),
    [
        ((), NOW, "no worker of readers has been seen on partition 2"),
        ((STANDING,), NOW, "the worker is behind: it stands at offset 40 of partition 2"),
        (
            (replace(STANDING, position=None),),
            NOW,
            "the worker is behind: it stands at the beginning of partition 2",
        ),
        (
            (STANDING,),
            at(1_001) + AWAY_AFTER,
            "the worker is away: host:1 was seen last at 2026-11-28 12:00:01 UTC",
        ),
        (
            (replace(STANDING, stopped=True),),
            NOW,
            "the worker was stopped: host:1 at 2026-11-28 12:00:01 UTC",
        ),
        (
            (replace(STANDING, paused_at=at(0), reason="Redis: connection refused"),),
            NOW,
            "partition 2 is paused since 2026-11-28 12:00:00 UTC: Redis: connection refused",
        ),
    ],
)
def test_what_is_not_applied_says_why(standings: tuple[Standing, ...], now: datetime, text: str) -> None:
    trace = merged(produced(CHANGE), consumed(standings=standings), now=now)

    for name in (Name.RECEIVED, Name.APPLIED, Name.EVICTED):
        assert reason(trace, name) == (State.WAITING, text)
    assert (trace.is_applied, trace.applied) == (False, 0)


def test_a_worker_that_has_passed_it_has_applied_it_though_nobody_wrote_down_when() -> None:
    trace = merged(produced(CHANGE), consumed(standings=(replace(STANDING, position=41),)))

    assert reason(trace, Name.APPLIED)[0] is State.DONE
    assert trace.is_applied


def test_a_dead_letter_is_a_failure_and_what_waits_behind_one_too() -> None:
    parked = Parked(TOPIC, GROUP, 2, 40, at(11), "host:1", "app.Broken")

    trace = merged(produced(CHANGE), consumed(batches=(BATCH,), parked=(parked,)))
    assert reason(trace, Name.APPLIED) == (State.FAILED, "a dead letter: app.Broken")
    assert trace.has_failed
    behind = merged(produced(CHANGE), consumed(parked=(replace(parked, blocked=True),)))
    assert reason(behind, Name.APPLIED)[1].startswith("an earlier message of its key is a dead letter")


PARKED = Parked(TOPIC, GROUP, 2, 40, at(11), "host:1", "app.Broken")
REPLAYED = replace(PARKED, settled_at=at(300), replay_partition=2, replay_offset=90)


def test_a_replay_is_followed_to_where_it_was_applied() -> None:
    again = replace(BATCH, first=90, last=90, received_at=at(304), handled_at=at(310))

    trace = merged(produced(CHANGE), consumed(batches=(BATCH, again), parked=(REPLAYED,), fills=(FILL,)))

    [line] = trace.lines
    received = [step for step in line.steps if step.name is Name.RECEIVED]
    assert [step.duration_ms for step in received] == [4, 4]
    assert received[0].text.endswith("; a dead letter: app.Broken; replayed as offset 90")
    assert (trace.is_complete, trace.has_failed, line.took_ms) == (True, False, 310)


@pytest.mark.parametrize(
    ("about", "state", "text", "verdict"),
    [
        ({}, State.WAITING, "no worker of readers has been seen on partition 2", "waiting"),
        ({"parked": (REPLAYED, replace(PARKED, offset=90))}, State.FAILED, "a dead letter: app.Broken", "parked"),
        (
            {"parked": (replace(PARKED, settled_at=at(300)),)},
            State.DISCARDED,
            "a dead letter: app.Broken; a person has discarded it",
            "discarded",
        ),
    ],
    ids=["not handled yet", "parked again", "discarded"],
)
def test_a_settled_dead_letter_says_what_became_of_it(
    about: dict[str, object], state: State, text: str, verdict: str
) -> None:
    trace = merged(produced(CHANGE), consumed(**{"batches": (BATCH,), "parked": (REPLAYED,), **about}))

    assert reason(trace, Name.APPLIED) == (state, text)
    assert (report.verdict(trace), trace.is_complete) == (verdict, False)


def test_a_service_that_does_not_answer_is_said_to_be_missing() -> None:
    trace = merged(produced(CHANGE), missing=(Missing("reader", "no answer in time"),))

    assert reason(trace, Name.RECEIVED) == (State.UNKNOWN, "reader can't be asked: no answer in time")
    assert not trace.is_complete
    assert "? reader can't be asked: no answer in time" in list(report.lines(trace))


def test_nobody_has_looked_it_up_yet() -> None:
    trace = merged(produced(CHANGE), consumed(batches=(BATCH,), fills=(replace(FILL, version=6),)))

    assert reason(trace, Name.FILLED) == (State.WAITING, "nobody has looked it up since")
    assert (trace.is_applied, trace.is_complete) == (True, False)
    assert report.verdict(trace) == "applied, not looked up since"


def test_a_later_version_in_the_cache_answers_for_it() -> None:
    trace = merged(produced(CHANGE), consumed(batches=(BATCH,), fills=(replace(FILL, version=9),)))

    assert reason(trace, Name.FILLED) == (State.DONE, "with the later version 9, by the request lookup-1")


def test_a_batch_of_an_earlier_log_with_the_same_offsets_is_another_one() -> None:
    earlier = replace(BATCH, received_at=at(-3_600_000), handled_at=at(-3_600_000))

    assert reason(merged(produced(CHANGE), consumed(batches=(earlier,))), Name.APPLIED)[0] is State.WAITING


def test_a_handler_without_a_cache_ends_with_what_it_has_applied() -> None:
    plain = Part("reader", None, Consumed(groups=(Group(TOPIC, GROUP),), batches=(replace(BATCH, evictions=None),)))

    trace = merged(produced(CHANGE), plain)
    assert [step.name for step in trace.lines[0].steps][-1] is Name.APPLIED
    assert trace.is_complete


def test_clocks_that_differ_make_no_negative_durations() -> None:
    ahead = replace(BATCH, received_at=at(-20), handled_at=at(-18))

    trace = merged(produced(CHANGE), consumed(batches=(ahead,)))
    assert all((step.duration_ms or 0) >= 0 for step in trace.lines[0].steps)


def test_of_a_large_change_the_slowest_and_the_missing_are_named() -> None:
    count = ONE_BY_ONE + 10
    changes = [replace(CHANGE, key=f"k{number}", offset=number) for number in range(count)]
    batches = tuple(
        replace(BATCH, first=number, last=number, handled_at=at(20 + number)) for number in range(count - 2)
    )
    span = Span(TOPIC, 2, 0, count - 1, count)

    trace = merged(
        produced(*changes, spans=(span,)), consumed(batches=batches, standings=(replace(STANDING, position=count - 2),))
    )

    assert (trace.total, trace.applied) == (count, count - 2)
    assert [line.change.key for line in trace.slowest][:2] == [f"k{count - 3}", f"k{count - 4}"]
    assert [line.change.key for line in trace.unapplied] == [f"k{count - 2}", f"k{count - 1}"]
    assert Name.FILLED not in {step.name for line in trace.lines for step in line.steps}
    shown = list(report.lines(trace))
    assert f"{count} messages: {count} sent, {count - 2} applied" in shown


def test_more_than_anybody_looked_at_are_counted_by_where_the_worker_stands() -> None:
    span = Span(TOPIC, 2, 0, 5_000, 5_000)
    part = produced(CHANGE, total=5_000, sent=5_000, spans=(span,))

    behind = merged(part, consumed(standings=(replace(STANDING, position=4_000),), batches=(BATCH,)))
    assert (behind.applied, behind.applied_is_exact) == (1, False)
    assert not behind.is_applied
    passed = merged(part, consumed(standings=(replace(STANDING, position=5_001),), batches=(BATCH,)))
    assert (passed.applied, passed.applied_is_exact, passed.is_applied) == (5_000, True, True)


def test_a_part_travels_as_json_and_comes_back_the_same() -> None:
    parked = Parked(TOPIC, GROUP, 2, 40, at(11), "host:1", "app.Broken", blocked=True)
    for part in (
        produced(CHANGE, UNSENT, relay_leads=False, ahead=3),
        consumed(batches=(BATCH,), standings=(STANDING,), parked=(parked, REPLAYED), fills=(FILL,)),
    ):
        assert part_from(json.loads(json.dumps(PartSerializer(part).data, default=str))) == part


def test_the_json_for_scripts_has_states_and_instants() -> None:
    answer = report.as_dict(merged(produced(CHANGE), consumed(batches=(BATCH,), fills=(FILL,))))

    assert json.loads(json.dumps(answer)) == answer
    assert (answer["state"], answer["totals"]["applied"]) == ("complete", 1)
    sent = answer["messages"][0]["steps"][2]
    assert (sent["name"], sent["state"], sent["at"], sent["durationMs"]) == (
        "sent",
        "done",
        "2026-11-28T12:00:00.005000Z",
        5.0,
    )


def test_following_prints_each_step_once() -> None:
    sent = merged(produced(CHANGE), consumed(standings=(STANDING,)))
    applied = merged(produced(CHANGE), consumed(batches=(BATCH,)))

    assert [line.split()[1] for line in report.news(None, sent)] == ["requested", "written", "sent"]
    assert [line.split()[1] for line in report.news(sent, applied)] == ["received", "applied", "evicted"]


def test_the_request_and_the_producers_processes_are_named_where_the_outbox_has_them() -> None:
    change = replace(CHANGE, requested_at=at(-8), written_by="host:7", sent_by="host:8")
    [line] = merged(produced(change)).lines
    requested, written, sent = line.steps[:3]
    assert (requested.at, requested.process) == (at(-8), "host:7")
    assert (written.at, written.duration_ms, written.process) == (at(0), 8.0, "host:7")
    assert (sent.at, sent.duration_ms, sent.process) == (at(5), 5.0, "host:8")
