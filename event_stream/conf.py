"""The setting EVENT_STREAM as typed values.

EVENT_STREAM = {
    "default_binder": "kafka",                        # may be left out where there is one binder only
    "binders": {
        "kafka": {"type": "kafka", "bootstrap_servers": ["localhost:9092"]},   # "type" and the binder's own settings
    },
    "bindings": {
        "outbound": {"destination": "topic", "producer": {...}},
        "inbound": {"destination": "topic", "group": "readers", "consumer": {"batch_size": 500}},
    },
}
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from django.core.signals import setting_changed

from event_stream.binding import Binding, ConsumerSettings, HeaderFormat, ProducerSettings
from event_stream.errors import ConfigurationError
from event_stream.table import Mistake, Table, root

SETTING = "EVENT_STREAM"
MAX_POLL_TIMEOUT_MS = 500
"""A worker looks at its stop flag between polls, and has to be gone within 2 s of being asked."""
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class BinderSettings:
    """One entry of EVENT_STREAM["binders"]; the binder itself checks its properties."""

    name: str
    type: str
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Configuration:
    """The whole setting."""

    binders: Mapping[str, BinderSettings]
    bindings: Mapping[str, Binding]

    def binding(self, name: str) -> Binding:
        try:
            return self.bindings[name]
        except KeyError:
            known = ", ".join(map(repr, sorted(self.bindings))) or "none"
            text = f"{SETTING}['bindings'] has no {name!r}; it has {known}"
            raise ConfigurationError(text) from None


def parse(value: object) -> tuple[Configuration, list[Mistake]]:
    """The setting as far as it can be read, and every mistake in it."""
    mistakes: list[Mistake] = []
    setting = root(SETTING, value, mistakes)
    if mistakes:
        return Configuration({}, {}), mistakes
    binders = {name: _binder(name, entry) for name, entry in setting.table("binders", required=True).tables().items()}
    default = _default_binder(setting, binders)
    bindings = {
        name: _binding(name, entry, binders, default)
        for name, entry in setting.table("bindings", required=True).tables().items()
    }
    setting.finish()
    return Configuration(binders, bindings), mistakes


@functools.cache
def configuration() -> Configuration:
    """The setting of this process. Raises ConfigurationError with every mistake in it."""
    result, mistakes = parse(setting_value())
    if mistakes:
        raise ConfigurationError("; ".join(map(str, mistakes)))
    return result


def setting_value() -> object:
    # Here and not above: `import event_stream` has to work before Django's settings do.
    from django.conf import settings  # noqa: PLC0415

    return getattr(settings, SETTING, None)


def _binder(name: str, entry: Table) -> BinderSettings:
    return BinderSettings(name, entry.text("type", required=True), entry.rest())


def _default_binder(setting: Table, binders: Mapping[str, BinderSettings]) -> str | None:
    """None where there is none; "" where it is wrong, which no binding needs to repeat."""
    if "default_binder" not in setting.values:
        setting.known.add("default_binder")
        return next(iter(binders)) if len(binders) == 1 else None
    given = setting.text("default_binder")
    if given and binders and given not in binders:
        setting.wrong("default_binder", f"is {given!r}; it should be one of {_names(binders)}")
        return ""
    return given


def _binding(name: str, entry: Table, binders: Mapping[str, BinderSettings], default: str | None) -> Binding:
    binder = entry.text("binder", default=default or None)
    if "binder" not in entry.values and default is None and binders:
        entry.wrong("binder", f"is missing and there is no default_binder; it should be one of {_names(binders)}")
    elif "binder" in entry.values and binder and binders and binder not in binders:
        entry.wrong("binder", f"is {binder!r}; it should be one of {_names(binders)}")
    if "consumer" in entry.values and "group" not in entry.values:
        entry.wrong("group", "is missing; a binding that consumes should name its group")
    result = Binding(
        name=name,
        destination=entry.text("destination", required=True),
        binder=binder,
        content_type=entry.text("content_type", default="application/json"),
        group=entry.text("group") or None,
        header_format=cast(HeaderFormat, entry.choice("header_format", get_args(HeaderFormat), "spring")),
        producer=_producer(entry.table("producer")),
        consumer=_consumer(entry.table("consumer")),
    )
    entry.finish()
    return result


def _producer(entry: Table) -> ProducerSettings:
    result = ProducerSettings(
        heartbeat=_dotted(entry, "heartbeat"),
        properties=entry.table("properties").rest(),
        interceptors=entry.texts("interceptors"),
        stand_in=_dotted(entry, "stand_in"),
    )
    entry.finish()
    return result


def _dotted(entry: Table, key: str) -> str | None:
    path = entry.text(key) or None
    if path and "." not in path:
        entry.wrong(key, f"is {path!r}; it should be the dotted path of a function")
    return path


def _consumer(entry: Table) -> ConsumerSettings:
    result = ConsumerSettings(
        batch_size=entry.integer("batch_size", 500, minimum=1, maximum=10_000),
        poll_timeout_ms=entry.integer("poll_timeout_ms", MAX_POLL_TIMEOUT_MS, minimum=1, maximum=MAX_POLL_TIMEOUT_MS),
        idle_interval_ms=entry.integer("idle_interval_ms", 1000, minimum=10, maximum=_HOUR_MS),
        retry_initial_ms=entry.integer("retry_initial_ms", 200, minimum=1, maximum=_HOUR_MS),
        retry_max_ms=entry.integer("retry_max_ms", 10_000, minimum=1, maximum=_HOUR_MS),
        retry_attempts=entry.integer("retry_attempts", 3, minimum=1, maximum=1000),
        retry_permanent=entry.texts("retry_permanent"),
        dead_letters=entry.flag("dead_letters", default=False),
        dead_letter_limit=entry.integer("dead_letter_limit", 100, minimum=1, maximum=1_000_000),
        properties=entry.table("properties").rest(),
    )
    if result.retry_max_ms < result.retry_initial_ms:
        entry.wrong("retry_max_ms", f"is {result.retry_max_ms}; it should be at least retry_initial_ms")
    entry.finish()
    return result


def _names(binders: Mapping[str, BinderSettings]) -> str:
    return ", ".join(map(repr, sorted(binders)))


def _forget(*, setting: str, **_: object) -> None:
    if setting == SETTING:
        configuration.cache_clear()


setting_changed.connect(_forget, dispatch_uid="event_stream.conf")
