"""What `/metrics` and the probes of the licensing service tell of its cache and its group."""

from event_stream.errors import UnavailableError
from event_stream.metrics import exposition, probes
from event_stream.metrics.cache import CacheSource
from event_stream.metrics.consumer import DeadLettersSource, LagSource
from organization_lookup import lookup


def register() -> None:
    exposition.register(CacheSource(lambda: lookup.current().cache, has_log=lookup.has_log))
    exposition.register(LagSource(lookup.BINDING))
    exposition.register(DeadLettersSource(lookup.BINDING))
    probes.register("cache", _cache)


def _cache() -> None:
    """The worker's own write, which it repeats anyway: that Redis answers would not say that it takes any."""
    cache = lookup.current().cache
    others = cache.claim()
    if others is not None:
        raise UnavailableError(f"{cache.shared.difference(others)}. {lookup.REMEDY}.")
