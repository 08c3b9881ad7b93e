"""Refreshing the configuration of every process: a row asks for it, and each process's reporter follows."""

from typing import Any

from event_stream.configuration_source import configuration_source
from event_stream.operations.models import ConfigurationRefresh

_MOST_KEPT = 100


def request_refresh() -> int:
    """Ask every process of this service to read its settings again. Return the number of the request."""
    request = ConfigurationRefresh.objects.create()
    ConfigurationRefresh.objects.filter(id__lt=request.id - _MOST_KEPT).delete()
    return request.id


class RefreshFollower:
    """Of one process. At its start it follows the last request, too: it may have read its settings just before."""

    def __init__(self) -> None:
        self._followed = 0

    def follow(self) -> None:
        """Raises django.db.Error."""
        source = configuration_source()
        if source is None:
            return
        last = ConfigurationRefresh.objects.order_by("-id").values_list("id", flat=True).first() or 0
        if last > self._followed:
            source.refresh()
            self._followed = last

    def state(self) -> dict[str, Any]:
        """What to add to a process's row."""
        source = configuration_source()
        return {} if source is None else {"configuration": {**source.state(), "request": self._followed}}
