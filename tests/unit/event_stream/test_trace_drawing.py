"""Where the bars of a timeline begin and end."""

from event_stream.trace.drawing import bars
from event_stream.trace.timeline import Name
from tests.unit.event_stream.trace_parts import BATCH, CHANGE, FILL, STANDING, consumed, merged, produced


def test_bars_are_to_scale_without_the_time_in_which_nobody_asked() -> None:
    trace = merged(produced(CHANGE), consumed(batches=(BATCH,), fills=(FILL,)))

    drawn = {bar.step.name: (float(bar.x), float(bar.width)) for bar in bars(trace.lines[0]) if bar.x}
    # 5 ms, 4 ms, 3 ms, and 1 ms after a pause of half a second: 13 ms in all.
    assert set(drawn) == set(Name) - {Name.REQUESTED}
    assert drawn[Name.SENT] == (0.0, round(500 / 13, 2))
    assert drawn[Name.RECEIVED] == (round(500 / 13, 2), round(400 / 13, 2))
    assert drawn[Name.ANSWERED] == (round(1200 / 13, 2), round(100 / 13, 2))
    assert all(0 <= x <= 100 and width > 0 and x + width <= 100.9 for x, width in drawn.values())


def test_what_waits_is_drawn_at_the_end() -> None:
    trace = merged(produced(CHANGE), consumed(standings=(STANDING,)))

    waiting = [bar for bar in bars(trace.lines[0]) if bar.step.name in {Name.RECEIVED, Name.APPLIED, Name.EVICTED}]
    assert {(bar.x, bar.width) for bar in waiting} == {("85.00", "15.00")}
