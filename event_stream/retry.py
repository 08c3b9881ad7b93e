"""Which errors are worth another attempt, and how long to wait before it."""

import logging
import random
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connections

from event_stream.conf import Binding, import_dotted
from event_stream.database_faults import DatabaseFault, database_fault

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("event_stream")

_CONFLICT_ATTEMPTS = 5
_CONFLICT_MIN_S, _CONFLICT_MAX_S = 0.05, 1.0
_random = random.SystemRandom()


def backoff_s(attempt: int, initial_s: float, maximum_s: float) -> float:
    """Seconds before attempt number `attempt` (from 1): doubling, bounded, and each between half and whole of that.

    The chance keeps workers that failed together from coming back together.
    """
    # 2.0 ** 64 is beyond any maximum, and keeps the power finite.
    whole = min(maximum_s, initial_s * 2.0 ** min(attempt - 1, 64))
    return whole * _random.uniform(0.5, 1.0)


def permanent_errors(binding: Binding) -> tuple[type[Exception], ...]:
    """The errors that a retry can't fix, as the binding says. Raises ConfigurationError."""
    return tuple(_error_class(dotted, binding.path) for dotted in binding.consumer.retry_permanent)


def _error_class(dotted: str, path: str) -> type[Exception]:
    should_be = "it should be the dotted path of a class of errors"
    complaint = f"{path}['consumer']['retry_permanent'] has {dotted!r}; {should_be}"
    error_class: type[Exception] = import_dotted(
        dotted if "." in dotted else f"builtins.{dotted}",
        complaint,
        accepts=lambda found: isinstance(found, type) and issubclass(found, Exception),
    )
    return error_class


def rerun_on_conflict(function: Callable[P, T]) -> Callable[P, T]:
    """Run a function that is one transaction again where PostgreSQL has ended it for a deadlock, 5 times in all.

    Within a transaction of its caller nothing is run again: all of that transaction is lost.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        for attempt in range(1, _CONFLICT_ATTEMPTS):
            try:
                return function(*args, **kwargs)
            except OperationalError as error:
                is_inner = any(connection.in_atomic_block for connection in connections.all(initialized_only=True))
                if is_inner or database_fault(error) is not DatabaseFault.CONFLICT:
                    raise
                logger.info("transaction.run_again", extra={"function": function.__qualname__, "attempt": attempt})
            time.sleep(backoff_s(attempt, _CONFLICT_MIN_S, _CONFLICT_MAX_S))
        return function(*args, **kwargs)

    return run
