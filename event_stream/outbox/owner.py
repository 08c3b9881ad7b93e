"""Functions that the owner of a binding names in its producer settings, and the relay calls."""

from collections.abc import Callable
from typing import Any, Literal

from django.utils.module_loading import import_string

from event_stream.conf import SETTING, configuration
from event_stream.errors import ConfigurationError

_TAKES = {"heartbeat": "as_of_us", "stand_in": "a payload"}


def functions(key: Literal["heartbeat", "stand_in"]) -> dict[str, Callable[[Any], Any]]:
    """By the names of the bindings that name one. Raises ConfigurationError for a path that leads to none."""
    paths = {name: getattr(binding.producer, key) for name, binding in configuration().bindings.items()}
    return {name: _function(name, key, path) for name, path in paths.items() if path}


def _function(binding: str, key: str, path: str) -> Callable[[Any], Any]:
    setting = f"{SETTING}['bindings'][{binding!r}]['producer'][{key!r}]"
    try:
        made = import_string(path)
    except ImportError as error:
        raise ConfigurationError(f"{setting} is {path!r}; it should be the path of a function ({error})") from error
    if not callable(made):
        raise ConfigurationError(
            f"{setting} is {path!r}, which can't be called; it should be a function of {_TAKES[key]}"
        )
    result: Callable[[Any], Any] = made
    return result
