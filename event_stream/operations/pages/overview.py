"""What runs, and what people did last."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from event_stream.operations.actions import last_actions
from event_stream.operations.pages import OPERATE, ActionError
from event_stream.operations.processes import running, seen_processes


class OverviewPage:
    slug = "overview"
    title = "Operations"
    refreshes = True
    permission = OPERATE

    def is_available(self) -> bool:
        return True

    def context(self, request: HttpRequest) -> Mapping[str, Any]:
        seen = seen_processes()
        return {"seen": seen, "running": len(running(seen)), "actions": last_actions()}

    def act(self, request: HttpRequest) -> str:
        raise ActionError("There is nothing to do on this page.")
