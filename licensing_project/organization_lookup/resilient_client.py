"""Asks the organization service within bounds: a time budget, so many calls at once, a circuit breaker, a second try.

A service that is down costs a lookup nothing, where it would cost its timeout.
"""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from pybreaker import (
    STATE_CLOSED,
    STATE_OPEN,
    CircuitBreaker,
    CircuitBreakerError,
    CircuitBreakerListener,
    CircuitBreakerState,
    CircuitMemoryStorage,
)
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random

from event_stream import signals, user_context
from event_stream.fenced_cache import Deadline, Fetched
from event_stream.outage_log import OutageLog
from organization_lookup.client import (
    CAUSES,
    BulkheadFull,
    CircuitOpen,
    OrganizationLookupError,
    ServiceTokenError,
    TransientUpstreamError,
    UpstreamAuthError,
    UpstreamError,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Circuit:
    """pybreaker keeps the state; the calls run outside of it.

    `CircuitBreaker.call` holds its lock for as long as the call takes, which would make it one lookup at a time. So
    each call is made first and its outcome is told to the breaker afterwards; and while the circuit is half open, one
    caller at a time finds out, and the others are turned away instead of waiting.
    """

    def __init__(self, *, failures: int, reset_s: float) -> None:
        self._reset_s = reset_s
        self._storage = CircuitMemoryStorage(STATE_CLOSED)
        self._log = _Log()
        self._breaker = CircuitBreaker(
            fail_max=failures,
            reset_timeout=reset_s,
            state_storage=self._storage,
            listeners=[self._log],
            throw_new_error_on_trip=False,
        )
        self._probing = threading.Lock()

    def configure(self, *, failures: int, reset_s: float) -> None:
        """Have these limits from now on; a circuit that is open stays open for as long as they say. From any thread."""
        self._reset_s = reset_s
        self._breaker.fail_max = failures
        self._breaker.reset_timeout = reset_s

    def retry_after_s(self) -> float:
        """Seconds until an open circuit lets one call through; 0 if it does now."""
        opened_at = self._storage.opened_at
        if self._storage.state == STATE_CLOSED or opened_at is None:
            return 0.0
        return max(0.0, self._reset_s - (datetime.now(UTC) - opened_at).total_seconds())

    def run(self, call: Callable[[], T]) -> T:
        """The call's result. An UpstreamError counts as a failure, any other outcome as a success.

        Raises CircuitOpen without calling while the circuit is open.
        """
        if self._storage.state == STATE_CLOSED:
            return self._counted(call)
        if self.retry_after_s() > 0 or not self._probing.acquire(blocking=False):
            raise CircuitOpen(f"it has failed too often lately, at last with: {self._log.last_fault}")
        try:
            return self._counted(call)
        finally:
            self._probing.release()

    def _counted(self, call: Callable[[], T]) -> T:
        try:
            result = call()
        except UpstreamError as fault:
            self._tell(fault)
            raise
        except UpstreamAuthError:
            # It has answered, if not to this caller's liking.
            self._tell(None)
            raise
        self._tell(None)
        return result

    def _tell(self, fault: UpstreamError | None) -> None:
        def outcome() -> None:
            if fault is not None:
                raise fault

        # CircuitBreakerError: opened by another call meanwhile, and this outcome comes too late to count.
        with suppress(UpstreamError, CircuitBreakerError):
            self._breaker.call(outcome)


class _Log(CircuitBreakerListener):
    """One line per change of state, so one per outage. It opens with the fault that opened it."""

    last_fault: BaseException | None = None

    def failure(self, cb: CircuitBreaker, exc: BaseException) -> None:
        self.last_fault = exc

    def state_change(self, cb: CircuitBreaker, old: CircuitBreakerState | None, new: CircuitBreakerState) -> None:
        signals.circuit_changed.send_robust(Circuit, circuit="origin", is_open=new.name != STATE_CLOSED)
        extra = {"state": new.name, "failures": cb.fail_counter}
        if new.name == STATE_OPEN:
            logger.warning("organization_service.circuit", extra={**extra, "error": str(self.last_fault)})
        else:
            logger.info("organization_service.circuit", extra=extra)


# Where less than this is left of the budget, another attempt could only fail.
_LEAST_USEFUL_S = 0.05

# Without a failure for so long, a cause is over: a service that fails now and then is one outage.
_QUIET_S = 5.0


def outage_log(monotonic_s: Callable[[], float] = time.monotonic) -> OutageLog:
    return OutageLog(
        logger,
        began="organization_lookup.failing",
        ended="organization_lookup.recovered",
        quiet_s=_QUIET_S,
        monotonic_s=monotonic_s,
    )


@dataclass(slots=True)
class ResilientClient:
    """Fetches an organization: `event_stream.fenced_cache.Fetch`.

    `max_calls` bounds the threads that a slow organization service can hold (a bulkhead). `attempts` counts the first
    one too; only what may pass is tried again, and only a GET, which may be repeated. `outages` logs each cause of
    failure once, with the first request that it costs, whether that request is answered 503 or with the last known
    value.
    """

    call: Callable[[str, float], Fetched]
    """(organization_id, budget_s): one call."""
    circuit: Circuit
    attempts: int
    max_calls: int
    outages: OutageLog = field(default_factory=outage_log, repr=False)
    _place: threading.Condition = field(default_factory=threading.Condition, repr=False)
    _under_way: int = 0

    def configure(self, *, attempts: int, max_calls: int) -> None:
        """Have these limits from now on; calls beyond them that are under way go on. From any thread."""
        with self._place:
            self.attempts = attempts
            self.max_calls = max_calls
            self._place.notify_all()

    def __call__(self, organization_id: str, budget: Deadline, /) -> Fetched:
        """Raises OrganizationLookupError or UpstreamAuthError; the budget includes waiting for a place."""
        try:
            fetched = self._fetch(organization_id, budget)
        except OrganizationLookupError as failed:
            self.outages.failed(failed, failed.cause)
            raise
        except UpstreamAuthError:
            self._answered()
            raise
        self._answered()
        return fetched

    def _answered(self) -> None:
        # An answer to a caller's token proves nothing about this service's own.
        own_token = user_context.current_or_new().authorization is None
        self.outages.succeeded(*(cause for cause in CAUSES if own_token or cause != ServiceTokenError.cause))

    def _fetch(self, organization_id: str, budget: Deadline) -> Fetched:
        def enough(state: RetryCallState) -> bool:
            return state.attempt_number >= self.attempts or budget.remaining_s() < _LEAST_USEFUL_S

        retrying = Retrying(
            retry=retry_if_exception_type(TransientUpstreamError),
            stop=enough,
            wait=wait_random(0, 0.03),
            reraise=True,
        )
        fetched: Fetched = retrying(self._attempt, organization_id, budget, itertools.count(1))
        return fetched

    def _attempt(self, organization_id: str, budget: Deadline, attempts: Iterator[int]) -> Fetched:
        began_s, outcome = time.perf_counter(), "answered"
        try:
            return self.circuit.run(lambda: self._in_a_place(organization_id, budget))
        except OrganizationLookupError as failed:
            outcome = failed.cause
            raise
        except UpstreamAuthError:
            outcome = "refused"
            raise
        finally:
            seconds = time.perf_counter() - began_s
            signals.origin_called.send_robust(type(self), outcome=outcome, attempt=next(attempts), seconds=seconds)

    def _in_a_place(self, organization_id: str, budget: Deadline) -> Fetched:
        with self._place:
            if not self._place.wait_for(lambda: self._under_way < self.max_calls, budget.remaining_s()):
                raise BulkheadFull(f"{self.max_calls} calls are under way already")
            self._under_way += 1
        try:
            return self.call(organization_id, max(budget.remaining_s(), _LEAST_USEFUL_S))
        finally:
            with self._place:
                self._under_way -= 1
                self._place.notify()
