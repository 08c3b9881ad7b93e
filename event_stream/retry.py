"""Which errors are worth another attempt, and how long to wait before it."""

import random

from event_stream.conf import Binding, import_dotted

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
