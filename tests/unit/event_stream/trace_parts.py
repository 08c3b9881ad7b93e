"""One change that went all the way, and the parts of two services that tell of it."""

from datetime import UTC, datetime, timedelta

from event_stream.trace.parts import Change, Consumed, Fill, Group, Handled, Missing, Part, Produced, Span, Standing
from event_stream.trace.timeline import Name, State, Trace, trace_of

T0 = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
TOPIC, GROUP = "things", "readers"


def at(ms: float) -> datetime:
    return T0 + timedelta(milliseconds=ms)


NOW = at(1_100)
CHANGE = Change("id-1", "k", 7, TOPIC, at(0), sent_at=at(5), partition=2, offset=40, user="ann")
BATCH = Handled(TOPIC, GROUP, 2, 38, 45, at(9), at(12), "host:1", evictions=3)
STANDING = Standing(TOPIC, GROUP, 2, 40, at(1_000), "host:1")
FILL = Fill("k", 7, at(500), at(501), "host:2", "lookup-1")
GROUPS = (Group(TOPIC, GROUP, fills=True),)


def produced(*changes: Change, **values: object) -> Part:
    sent = [change for change in changes if change.offset is not None]
    spans = tuple(Span(TOPIC, change.partition or 0, change.offset or 0, change.offset or 0, 1) for change in sent)
    about: dict[str, object] = {
        "total": len(changes),
        "sent": sum(change.sent_at is not None for change in changes),
        "parked": sum(change.parked_at is not None for change in changes),
        "spans": spans,
        **values,
    }
    return Part("owner", Produced(changes=changes, **about))  # type: ignore[arg-type]


def consumed(**values: object) -> Part:
    return Part("reader", None, Consumed(groups=GROUPS, **values))  # type: ignore[arg-type]


def merged(*parts: Part, missing: tuple[Missing, ...] = (), now: datetime = NOW) -> Trace:
    return trace_of("id-1", parts, missing, now=now)


def reason(trace: Trace, name: Name) -> tuple[State, str]:
    [line] = trace.lines
    return next((step.state, step.text) for step in line.steps if step.name is name)
