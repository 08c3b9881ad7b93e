"""`/health/live`: the process answers. `/health/ready`: and it has what it needs to serve.

    path("", include("service_kit.health"))

What a service needs beyond its database it adds in an AppConfig.ready: `register("name", check)`. Nothing that a
service can work without belongs there: with the broker or the cache away it still serves. Why a check has failed is in
the log, and in the answer for members of the staff and bearers of a token; where the API is open, for everybody. They
also see which version of the configuration the process runs.
"""

import logging
from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from event_stream.database_faults import DatabaseFault
from event_stream.errors import RefusedError
from event_stream.outage_log import OutageLog
from service_kit import database
from service_kit.logging import redacted
from service_kit.settings.refresh_scope import state

logger = logging.getLogger("service_kit")

Check = Callable[[], None]
"""Returns when all is well, raises otherwise. Called for every probe, so it must be quick and bounded in time.

RefusedError says that reads go on, and writes are refused.
"""


class NotReady(Exception):  # noqa: N818 - what is the case, not what went wrong
    """The text says why."""


class Degraded(Exception):  # noqa: N818 - what is the case, not what went wrong
    """The service does its job less well, which costs no readiness: to take every process away would be no better."""


class NotChecked(Exception):  # noqa: N818 - what is the case, not what went wrong
    """The check can't tell, because of a server that this service can do without: UNKNOWN, which costs no readiness."""


def _database() -> None:
    if database.is_read_only(connection):
        # This session alone may be, from a time when all were.
        connection.close()
        if database.is_read_only(connection):
            error = RefusedError("the database is read-only")
            database.report_fault(DatabaseFault.READ_ONLY, error)
            raise error


_checks: dict[str, Check] = {"database": _database}
_outages = OutageLog(logger, began="health.down", ended="health.up", level=logging.ERROR, cause_field="check")


def register(name: str, check: Check) -> None:
    """Make readiness depend on a check; one of the same name is replaced."""
    _checks[name] = check


@never_cache
@require_safe
def live(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "UP"})


@never_cache
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """200 or 503, with each check's state by name; why one failed is in the log, once per outage.

    READ_ONLY and DEGRADED are a 200: to take every process away from a database that reads would make an outage of it.
    """
    errors = {name: _error(name, check) for name, check in _checks.items()}
    states = {name: _state(error) for name, error in errors.items()}
    told = [state for state in states.values() if state != "UNKNOWN"]
    worst = max(told, key=_FROM_HARMLESS_TO_NOT.index, default="UP")
    answer: dict[str, object] = {"status": worst, "checks": states}
    if _may_see_details(request):
        answer["configuration"] = state().as_dict()
        if failed := {name: error for name, error in errors.items() if error is not None}:
            answer["details"] = {name: redacted(str(error)) for name, error in failed.items()}
    return JsonResponse(answer, status=503 if worst == "DOWN" else 200)


_FROM_HARMLESS_TO_NOT = ("UP", "DEGRADED", "READ_ONLY", "DOWN")


def _state(error: Exception | None) -> str:
    if error is None:
        return "UP"
    if isinstance(error, NotChecked):
        return "UNKNOWN"
    if isinstance(error, Degraded):
        return "DEGRADED"
    return "READ_ONLY" if isinstance(error, RefusedError) else "DOWN"


def _may_see_details(request: HttpRequest) -> bool:
    """Whoever can't be recognized now, as the database or the issuer is away, is nobody."""
    # Loaded before the settings are there, and these need them.
    from rest_framework.request import Request  # noqa: PLC0415

    from service_kit.auth.authentication import BearerAuthentication  # noqa: PLC0415
    from service_kit.problem_details import Problem  # noqa: PLC0415

    if settings.AUTH is None:
        return True
    try:
        if BearerAuthentication().authenticate(Request(request)) is not None:
            return True
        # Without the cookie, nobody asks the database.
        user = request.user if settings.SESSION_COOKIE_NAME in request.COOKIES else None
        is_staff = user is not None and user.is_active and user.is_staff
    except (Problem, DatabaseError):
        return False
    return is_staff


def _error(name: str, check: Check) -> Exception | None:
    try:
        check()
    except (RefusedError, NotChecked, Degraded) as error:
        # Reported where it was found.
        return error
    except Exception as error:  # noqa: BLE001 - whatever a check raises is what it has found
        _outages.failed(error, name)
        return error
    _outages.succeeded(name)
    return None


_views = {"live": live, "ready": ready}
urlpatterns = [path(f"health/{name}", view, name=f"health-{name}") for name, view in _views.items()]
PATHS = frozenset(f"/health/{name}" for name in _views)
"""Answered whatever Host the request names, by the request class of `service_kit.wsgi`."""
