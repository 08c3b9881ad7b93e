"""The organization of the path, for the views: found, or a problem that says why not."""

from uuid import UUID

from django.utils.translation import gettext as _
from rest_framework.request import Request

from event_stream.cache import Demand, FetchFailed, Found, VersionNotReached
from event_stream.web.problem import Problem, unavailable
from organization_lookup import lookup
from organization_lookup.demand import demand
from organization_lookup.errors import Refused


def find(request: Request, organization_id: UUID) -> Found:
    """As fresh as the request demands. Its value is None for an organization that doesn't exist.

    Problems: 503 when nothing is known of it and its service can't be asked, 401 and 403 as that service answers them,
    412 for an Organization-Min-Version that it has not reached.
    """
    return _found(organization_id, demand(request.META))


def find_existing(request: Request, organization_id: UUID) -> Found:
    """The same, and a 404 problem for one that doesn't exist; an absence out of the cache is asked about."""
    found = find(request, organization_id)
    if found.value is None:
        found = _found(organization_id, Demand(no_cache=True))
    if found.value is None:
        raise absent(organization_id)
    return found


def find_if_possible(request: Request, organization_id: UUID) -> Found | None:
    """For the answer to a write that is done: None where it could only be a problem."""
    try:
        return find(request, organization_id)
    except Problem:
        return None


def absent(organization_id: UUID) -> Problem:
    return Problem(
        404,
        type="/problems/organization-not-found",
        title=_("Organization not found"),
        detail=_("There is no organization %(id)s.") % {"id": organization_id},
    )


def _found(organization_id: UUID, wanted: Demand) -> Found:
    try:
        return lookup.current().find(str(organization_id), wanted)
    except Refused as refused:
        challenge = {"WWW-Authenticate": refused.challenge} if refused.challenge else {}
        raise Problem(refused.status, headers=challenge) from refused
    except VersionNotReached as not_reached:
        raise Problem(
            412,
            type="/problems/version-not-reached",
            detail=_("The organization has version %(version)d, which is older than Organization-Min-Version.")
            % {"version": not_reached.found.version},
        ) from not_reached
    except FetchFailed as failed:
        raise unavailable(
            _("The organization of the license can't be asked for now."), retry_after_s=lookup.current().retry_after_s()
        ) from failed
