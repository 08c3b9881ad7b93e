"""The cache and its consistency on the operations pages."""

from event_stream.fenced_cache import FetchFailed, Found, FreshnessRequirement
from event_stream.messaging.channel import registry
from event_stream.operations.cache import ObservedCache, observe_cache
from event_stream.operations.consistency import MeasuredCache, show_consistency
from organization_lookup import lookup
from organization_lookup.client import UpstreamAuthError
from organization_lookup.handlers import canonical_id

BINDING, AUDIT_BINDING = "inboundOrgChanges", "auditOrgChanges"


def register() -> None:
    observe_cache(
        ObservedCache(
            binding=BINDING,
            noun="organization",
            cache=lambda: lookup.current().cache,
            lookup=find_as_a_request,
            canonical_id=canonical_id,
            has_log=_has_log,
        )
    )
    show_consistency(
        MeasuredCache(
            binding=AUDIT_BINDING,
            command="manage.py cache_audit --meter",
            max_staleness_s=lambda: lookup.current().cache.settings.max_staleness_s,
        )
    )


def find_as_a_request(organization_id: str) -> Found:
    """Raises FetchFailed, also where the organization service does not let this process in."""
    try:
        return lookup.current().find(organization_id, FreshnessRequirement())
    except UpstreamAuthError as error:
        raise FetchFailed(str(error)) from error


def _has_log() -> bool:
    return registry().channel(BINDING).capabilities.seekable and lookup.current().versioned
