"""What a worker knows of one partition."""

from dataclasses import dataclass

from event_stream.binder import LogBounds


@dataclass(slots=True)
class Partition:
    """`position` is the next offset to be handled; times are seconds of the worker's monotonic clock."""

    number: int
    started: bool = False
    position: int = 0
    target: int = 0
    """Where the log ended when the handler started on it."""
    idle_at: float = 0.0
    attempts: int = 0
    """Failed ones in a row."""
    retry_at: float | None = None
    """Paused until then."""
    handled: bool = False
    at_end: bool = False

    def begin(self, offset: int, log: LogBounds) -> None:
        self.started = True
        self.target = log.end
        self.at_end = offset >= log.end

    def found_nothing(self, consumed: int, log: LogBounds) -> None:
        """`consumed` is the consumer's own position, past marks in the log that are no records."""
        self.at_end = max(self.position, consumed) >= log.end
        if self.at_end:
            self.target = min(self.target, self.position)

    @property
    def caught_up(self) -> bool:
        return self.position >= self.target
