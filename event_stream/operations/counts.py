"""Counts that cost the same however large a table is: beyond a limit, "100,000+"."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

CAP = 100_000


@dataclass(frozen=True, slots=True)
class Capped:
    """`number` rows, or more where `more` says so."""

    number: int
    more: bool = False

    def __str__(self) -> str:
        return f"{self.number:,}{'+' if self.more else ''}"

    def __bool__(self) -> bool:
        return self.number > 0

    @property
    def explanation(self) -> str:
        return f"Counted up to {CAP:,} only, so that the page stays fast." if self.more else ""


def capped(rows: QuerySet[Any, Any], cap: int = CAP) -> Capped:
    count = rows.order_by()[: cap + 1].count()
    return Capped(min(count, cap), count > cap)
