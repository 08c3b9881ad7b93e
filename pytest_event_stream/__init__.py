"""The pytest plugin of django-event-stream: fixtures, and nothing else.

memory_binder        the bindings of EVENT_STREAM on a platform in memory, a fresh one for each test
captured_messages    captured_messages("outboundOrders"): what was sent through a binding, decoded, in order
armed_failpoint         with armed_failpoint(FailPoint.WORKER_HANDLED_NOT_COMMITTED): the place raises `Crashed`
assert_emits         with assert_emits("outboundOrders", of=Order): each row that is written has its message

A package of its own beside `event_stream`, since pytest loads a plugin in every project that has it installed: nothing
of Django, or of the event layer, is imported before a test asks for a fixture.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_event_stream.capture import CapturedMessages
    from pytest_event_stream.emissions import AssertEmits


@pytest.fixture
def memory_binder() -> Iterator[None]:
    """Every binder of EVENT_STREAM is one in memory during the test; what only concerns the real ones is left out."""
    from pytest_event_stream.capture import in_memory  # noqa: PLC0415 - not before a test asks for it

    with in_memory():
        yield


@pytest.fixture
def captured_messages(memory_binder: None) -> "CapturedMessages":
    """The messages sent through a binding, by its name: a list of Message."""
    from pytest_event_stream.capture import captured  # noqa: PLC0415 - not before a test asks for it

    return captured


@pytest.fixture
def armed_failpoint() -> "Callable[..., object]":
    """`event_stream.failpoints.armed`: a context manager in which the process "ends" at a named place."""
    from event_stream.failpoints import armed  # noqa: PLC0415 - not before a test asks for it

    return armed


@pytest.fixture
def assert_emits(memory_binder: None) -> "AssertEmits":
    """See `pytest_event_stream.emissions`. Needs a database of pytest-django's where the outbox is used."""
    from pytest_event_stream.emissions import emissions  # noqa: PLC0415 - not before a test asks for it

    return emissions
