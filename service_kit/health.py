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

from event_stream.outage_log import OutageLog

logger = logging.getLogger("service_kit")

Check = Callable[[], None]
"""Returns when all is well, raises otherwise. Called for every probe, so it must be quick and bounded in time."""


class NotReady(Exception):  # noqa: N818 - what is the case, not what went wrong
    """Says why to everybody who asks: the text holds no address, name or value of the environment's secrets."""


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


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
    """200 or 503, with each check's state by name; why one failed is in the log, once per outage."""
    errors = {name: _error(name, check) for name, check in _checks.items()}
    up = all(error is None for error in errors.values())
    answer: dict[str, object] = {
        "status": "UP" if up else "DOWN",
        "checks": {name: "UP" if error is None else "DOWN" for name, error in errors.items()},
    }
    if details := {name: str(error) for name, error in errors.items() if isinstance(error, NotReady)}:
        answer["details"] = details
    return JsonResponse(answer, status=200 if up else 503)


def _error(name: str, check: Check) -> Exception | None:
    try:
        check()
    except Exception as error:  # noqa: BLE001 - whatever a check raises is what it has found
        _outages.failed(error, name)
        return error
    _outages.succeeded(name)
    return None


urlpatterns = [path("health/live", live, name="health-live"), path("health/ready", ready, name="health-ready")]
