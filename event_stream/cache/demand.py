"""How fresh a caller wants it, in the words of HTTP's Cache-Control."""

from dataclasses import dataclass

from event_stream.cache.answers import Reading, State


@dataclass(frozen=True, slots=True)
class Demand:
    """What an answer must live up to beyond BOUND. `min_version` is what a caller has just written, or seen."""

    no_cache: bool = False
    """The origin must be asked after the request began."""
    max_age_s: float | None = None
    """Proven to have been current no longer ago than this when the request began."""
    min_fresh_s: float | None = None
    """This much of BOUND must be left."""
    min_version: int | None = None

    def met_by(self, reading: Reading, began_ms: int, bound_ms: int) -> bool:
        """Whether what the cache has will do for a request that began at `began_ms`.

        It may have been read for an earlier one, and have been within BOUND then only.
        """
        if reading.state is not State.HIT or self.no_cache or not self.new_enough(reading):
            return False
        age_ms = began_ms - reading.fresh_at_ms
        if self.max_age_s is not None and age_ms > self.max_age_s * 1000:
            return False
        return age_ms <= bound_ms - (self.min_fresh_s or 0) * 1000

    def new_enough(self, reading: Reading) -> bool:
        """An absence has a clock for a version, and later commits may have earlier versions: it proves nothing."""
        return self.min_version is None or (reading.value is not None and reading.version >= self.min_version)


ANY = Demand()
