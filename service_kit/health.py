"""`/health/live`: the process answers. `/health/ready`: and it has what it needs to serve.

    path("", include("service_kit.health"))

What a service needs beyond its database it adds in an AppConfig.ready: `register("name", check)`. Nothing that a
service can work without belongs there: with the broker or the cache away it still serves. A check that raises NotReady
has its text in the answer; the text of any other error is in the log alone.
"""

import logging
from collections.abc import Callable

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from event_stream.database_faults import DatabaseFault
from event_stream.errors import RefusedError
from event_stream.outage_log import OutageLog
from service_kit import database

logger = logging.getLogger("service_kit")

Check = Callable[[], None]
"""Returns when all is well, raises otherwise. Called for every probe, so it must be quick and bounded in time.

RefusedError says that reads go on, and writes are refused.
"""


class NotReady(Exception):  # noqa: N818 - what is the case, not what went wrong
    """Says why to everybody who asks: the text holds no address, name or value of the environment's secrets."""


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

    READ_ONLY is a 200: to take every process away from a database that reads would make an outage of it.
    """
    errors = {name: _error(name, check) for name, check in _checks.items()}
    states = {name: _state(error) for name, error in errors.items()}
    told = [state for state in states.values() if state != "UNKNOWN"]
    worst = max(told, key=_FROM_HARMLESS_TO_NOT.index, default="UP")
    answer: dict[str, object] = {"status": worst, "checks": states}
    if details := {name: str(error) for name, error in errors.items() if isinstance(error, NotReady)}:
        answer["details"] = details
    return JsonResponse(answer, status=503 if worst == "DOWN" else 200)


_FROM_HARMLESS_TO_NOT = ("UP", "READ_ONLY", "DOWN")


def _state(error: Exception | None) -> str:
    if error is None:
        return "UP"
    if isinstance(error, NotChecked):
        return "UNKNOWN"
    return "READ_ONLY" if isinstance(error, RefusedError) else "DOWN"


def _error(name: str, check: Check) -> Exception | None:
    try:
        check()
    except (RefusedError, NotChecked) as error:
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
