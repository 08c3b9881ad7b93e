"""The cache on the operations pages."""

from event_stream.fenced_cache import FetchFailed, Found, FreshnessRequirement
from event_stream.messaging.channel import registry
from event_stream.operations.cache import ObservedCache, observe_cache
from organization_lookup import lookup
from organization_lookup.client import UpstreamAuthError
from organization_lookup.handlers import canonical_id

BINDING = "inboundOrgChanges"


def register() -> None:
    observe_cache(
        ObservedCache(
            binding=BINDING,
            noun="organization",
            cache=lambda: lookup.current().cache,
            lookup=_find,
            canonical_id=canonical_id,
            has_log=_has_log,
        )
    )


def _find(organization_id: str) -> Found:
    try:
        return lookup.current().find(organization_id, FreshnessRequirement())
    except UpstreamAuthError as error:
        raise FetchFailed(str(error)) from error


def _has_log() -> bool:
    return registry().channel(BINDING).capabilities.seekable and lookup.current().versioned
