"""docs/logs.md has every log event with its fields, and says of each field what it means, in whatever event."""

import re

import pytest

from devstack.environment import ROOT
from tests.unit.deploy.log_events import Event, events, row

TEXT = (ROOT / "docs" / "logs.md").read_text()
EVENTS = events()
_CODE = re.compile(r"`([^`]+)`")
_ON_EVERY_LINE = {"timestamp", "level", "logger", "service", "event", "correlation_id", "user_id", "org_id"}


def rows(heading: str) -> list[str]:
    """Of the first table below a heading, without its head."""
    below = TEXT.partition(f"## {heading}\n")[2]
    table = below.partition("\n|")[2].partition("\n\n")[0]
    return [f"|{line}" if not line.startswith("|") else line for line in table.splitlines()][2:]


def test_every_event_is_listed_with_its_levels_and_fields() -> None:
    """`python -m tests.unit.deploy.log_events` prints the table as it should be."""
    assert rows("Events") == [row(event) for event in EVENTS.values()]


def test_every_field_has_one_meaning() -> None:
    listed = [_CODE.findall(line.split("|")[1]) for line in rows("Fields")]
    names = [name for [name] in listed]
    assert names == sorted(set(names))
    assert set(names) == {name for event in EVENTS.values() for name in event.fields} - _ON_EVERY_LINE


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS.keys())
def test_the_names_of_fields_can_be_read_off_the_code(event: Event) -> None:
    """So that the table is whole: an event's fields are written where it is logged."""
    assert event.unread == set()
    assert event.levels


@pytest.mark.parametrize("name", sorted({name for event in EVENTS.values() for name in event.fields}))
def test_a_field_says_its_unit(name: str) -> None:
    assert name not in {"ms", "seconds", "duration", "lag", "pause", "time"}


def test_per_row_lines_are_for_debugging_and_there_is_a_line_for_each_batch() -> None:
    assert EVENTS["outbox.published"].levels == {"DEBUG"}
    assert EVENTS["outbox.batch"].levels == {"INFO"}
    assert "correlation_ids" in EVENTS["outbox.batch"].fields & EVENTS["worker.batch"].fields
