"""The platforms that can carry the messages, as the stack prepares and watches each; `EVENT_BINDER` chooses one."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from event_stream.message import Record
from manage_scripts.stack.topics import Topic


class Tail(Protocol):
    """What is sent to a topic from the moment it was opened, seen by a client that is in no group. It takes nothing."""

    def poll(self, timeout_s: float) -> Sequence[Record]:
        """What has come since; waits for something, so long at most."""

    def close(self) -> None: ...


class Broker(Protocol):
    """A platform: where it is, and how it is spoken to."""

    @property
    def address(self) -> str:
        """Empty where there is none."""

    @property
    def environment(self) -> Mapping[str, str]:
        """For the services: EVENT_BINDER, and the variables of that binder."""

    @property
    def properties(self) -> Mapping[str, Any]:
        """An entry of EVENT_STREAM["binders"]: its type and its properties."""

    def create_topics(self, topics: Sequence[Topic]) -> list[str]:
        """Create what is missing; one line for each topic that says how it is now. Raises StackError."""

    def tail(self, topic: str) -> Tail:
        """From the present end of the topic, which has to be there. Leaves no trace on the platform."""
