"""Django's system checks for EVENT_STREAM: every mistake at once, before anything runs.

event_stream.E001   a key of the setting: missing, unknown, of the wrong type or out of range
event_stream.E002   a binder that can't be made from its entry
event_stream.E003   a binding that asks its binder for something it can't do
event_stream.E004   an error of `retry_permanent` that is none
event_stream.E005   an interceptor that is no function
event_stream.E006   a heartbeat or a stand-in that is no function
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error

from event_stream import conf
from event_stream.errors import ConfigurationError
from event_stream.messaging.binder import Binder
from event_stream.messaging.channel import make_binder
from event_stream.messaging.interceptors import interceptors
from event_stream.retry import permanent_errors


def check_setting(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Registered by the app. Makes each binder once, which connects to nothing."""
    configuration, mistakes = conf.parse(conf.setting_value())
    errors: list[CheckMessage] = [Error(str(mistake), id="event_stream.E001") for mistake in mistakes]
    binders: dict[str, Binder] = {}
    for settings in configuration.binders.values():
        try:
            if settings.type:
                binders[settings.name] = make_binder(settings)
        except ConfigurationError as error:
            errors.append(Error(str(error), id="event_stream.E002"))
    return errors if mistakes else [*errors, *_check_bindings(configuration, binders)]


def _check_bindings(configuration: conf.Configuration, binders: Mapping[str, Binder]) -> Iterator[CheckMessage]:
    for binding in configuration.bindings.values():
        yield from _check_dotted_paths(binding)
        if binding.binder in binders:
            try:
                binders[binding.binder].check(binding)
            except ConfigurationError as error:
                yield Error(f"{binding.path}{error}", id="event_stream.E003")


def _check_dotted_paths(binding: conf.Binding) -> Iterator[CheckMessage]:
    lookups: tuple[tuple[str, Callable[[], object]], ...] = (
        ("E004", lambda: permanent_errors(binding)),
        ("E005", lambda: interceptors(binding)),
        ("E006", lambda: conf.producer_function(binding, "heartbeat")),
        ("E006", lambda: conf.producer_function(binding, "fallback_message")),
    )
    for number, lookup in lookups:
        try:
            lookup()
        except ConfigurationError as error:
            yield Error(str(error), id=f"event_stream.{number}")
