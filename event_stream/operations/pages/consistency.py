"""The consistency meter's page: how many reads were consistent some time after a change, and what that proves."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from event_stream.operations.consistency import consistency, measured_cache
from event_stream.operations.models import Process
from event_stream.operations.pages import OPERATE, ActionError
from event_stream.operations.processes import running, seen_processes


class ConsistencyPage:
    slug = "consistency"
    title = "Consistency"
    refreshes = True
    permission = OPERATE

    def is_available(self) -> bool:
        return measured_cache() is not None

    def context(self, request: HttpRequest) -> Mapping[str, Any]:
        measured = measured_cache()
        found = consistency()
        seen = [
            process
            for process in seen_processes(Process.Kind.WORKER)
            if measured is not None and process.process.binding == measured.binding
        ]
        return {
            "measured": measured,
            "max_staleness_s": measured.max_staleness_s() if measured else None,
            "meters": running(seen),
            "last_meter": next(iter(seen), None),
            "found": found,
            "greatest": max((one.count for one in found.histogram), default=0),
        }

    def act(self, request: HttpRequest) -> str:
        raise ActionError("There is nothing to do on this page.")
