"""Topics that are made before somebody uses them, on a platform whose binder makes what is missing."""

from event_stream.binder import Binder
from event_stream.binding import Binding


def make_topic(binder: Binder, name: str) -> int:
    """How many partitions it has: the binder's setting where it is new, else those that it had.

    Raises EventStreamError where the platform is away or refuses.
    """
    producer = binder.producer(Binding("making", name, "making"))
    try:
        return producer.partition_count(name)
    finally:
        producer.close(0)
