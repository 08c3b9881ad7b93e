"""What `manage.py doctor` finds, as a page."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.module_loading import autodiscover_modules

from event_stream.doctor import Level, examine, registered
from event_stream.operations.pages import OPERATE, ActionError

DEADLINE_S = 10.0


class DoctorPage:
    slug = "doctor"
    title = "Doctor"
    refreshes = False
    permission = OPERATE

    def is_available(self) -> bool:
        return True

    def context(self, request: HttpRequest) -> Mapping[str, Any]:
        autodiscover_modules("doctor")
        findings = list(examine(registered(), DEADLINE_S))
        counts = Counter(finding.level for finding in findings)
        return {
            "findings": sorted(findings, key=lambda finding: _SEVEREST_FIRST.index(finding.level)),
            "counts": [(level, counts[level]) for level in _SEVEREST_FIRST if counts[level]],
            "examined_at": timezone.now(),
        }

    def act(self, request: HttpRequest) -> str:
        raise ActionError("There is nothing to do on this page.")


_SEVEREST_FIRST = (Level.FAILED, Level.WARNING, Level.UNKNOWN, Level.OK, Level.NOT_TOLD)
