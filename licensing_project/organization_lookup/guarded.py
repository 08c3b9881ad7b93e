"""Asking the organization service within bounds: a time budget, so many calls at once, a circuit, a second try."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random

from event_stream.cache import Budget, Fetched
from organization_lookup.circuit import Circuit
from organization_lookup.errors import Passing, TooBusy

# Where less than this is left of the budget, another attempt could only fail.
_LEAST_USEFUL_S = 0.05


@dataclass(slots=True)
class GuardedClient:
    """Fetches an organization: `event_stream.cache.Fetch`.

    `max_calls` bounds the threads that a slow organization service can hold (a bulkhead). `attempts` counts the first
    one too; only what may pass is tried again, and only a GET, which may be repeated.
    """

    call: Callable[[str, float], Fetched]
    """(organization_id, budget_s): one call."""
    circuit: Circuit
    attempts: int
    max_calls: int
    _places: threading.BoundedSemaphore = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._places = threading.BoundedSemaphore(self.max_calls)

    def __call__(self, organization_id: str, budget: Budget, /) -> Fetched:
        """Raises FetchFailed in one of its forms (see errors), or Refused; waiting for a place counts as well."""

        def enough(state: RetryCallState) -> bool:
            return state.attempt_number >= self.attempts or budget.remaining_s() < _LEAST_USEFUL_S

        retrying = Retrying(
            retry=retry_if_exception_type(Passing),
            stop=enough,
            wait=wait_random(0, 0.03),
            reraise=True,
        )
        fetched: Fetched = retrying(self.circuit.run, lambda: self._in_a_place(organization_id, budget))
        return fetched

    def _in_a_place(self, organization_id: str, budget: Budget) -> Fetched:
        if not self._places.acquire(timeout=budget.remaining_s()):
            raise TooBusy(f"{self.max_calls} calls are under way already")
        try:
            return self.call(organization_id, max(budget.remaining_s(), _LEAST_USEFUL_S))
        finally:
            self._places.release()
