"""The setting EVENT_STREAM as typed values: binders, bindings, and every default that they have.

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

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from event_stream.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class SettingError:
    """`path` as one would write it in Python; `text` says what it is and what it should be."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path} {self.text}"


@dataclass(slots=True)
class SettingsReader:
    """One dict of the setting. What is asked for is known; `finish` reports the rest."""

    path: str
    values: Mapping[str, Any]
    mistakes: list[SettingError]
    known: set[str] = field(default_factory=set)
    told: bool = False
    """It is no dict, which has been said: that its keys are missing then follows."""

    def text(self, key: str, *, default: str | None = None, required: bool = False) -> str:
        """A non-empty string; "" where it is wrong or absent, so that reading can go on."""
        value = self._take(key, default, required=required, should_be="a non-empty string")
        if value is None:
            return ""
        if not isinstance(value, str) or not value.strip():
            self.wrong(key, f"is {value!r}; it should be a non-empty string")
            return ""
        return value

    def choice(self, key: str, choices: Collection[str], default: str) -> str:
        value = self._take(key, default)
        if value not in choices:
            self.wrong(key, f"is {value!r}; it should be one of {', '.join(map(repr, choices))}")
            return default
        return str(value)

    def integer(self, key: str, default: int, *, minimum: int, maximum: int) -> int:
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            self.wrong(key, f"is {value!r}; it should be a whole number from {minimum} to {maximum}")
            return default
        return value

    def number(self, key: str, default: float, *, maximum: float) -> float:
        """A number above 0."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= maximum:
            self.wrong(key, f"is {value!r}; it should be a number above 0, and at most {maximum:g}")
            return default
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        value = self._take(key, default)
        if not isinstance(value, bool):
            self.wrong(key, f"is {value!r}; it should be True or False")
            return default
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of non-empty strings; none where it is wrong or absent."""
        value = self._take(key, ())
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) and each for each in value):
            self.wrong(key, f"is {value!r}; it should be a list of non-empty strings")
            return ()
        return tuple(value)

    def table(self, key: str, *, required: bool = False) -> "SettingsReader":
        """A dict with string keys; an empty one where it is wrong or absent."""
        value = self._take(key, {}, required=required, should_be="a dict")
        return _table(f"{self.path}[{key!r}]", {} if value is None else value, self.mistakes)

    def tables(self) -> "dict[str, SettingsReader]":
        """Every entry, each of which should be a dict."""
        return {key: self.table(key) for key in self.values}

    def rest(self) -> Mapping[str, Any]:
        """What nobody has asked for, for somebody else to check."""
        others = {key: value for key, value in self.values.items() if key not in self.known}
        self.known.update(others)
        return others

    def finish(self) -> None:
        for key in self.values:
            if key not in self.known:
                self.wrong(key, f"is not known here; known are {', '.join(map(repr, sorted(self.known)))}")

    def wrong(self, key: str, text: str) -> None:
        self.mistakes.append(SettingError(f"{self.path}[{key!r}]", text))

    def _take(self, key: str, default: Any, *, required: bool = False, should_be: str = "") -> Any:
        self.known.add(key)
        if required and not self.told and self.values.get(key) is None:
            self.wrong(key, f"is missing; it should be {should_be}")
        return self.values.get(key, default)


def root(name: str, value: object, mistakes: list[SettingError]) -> SettingsReader:
    """The setting itself."""
    return _table(name, value, mistakes)


@contextmanager
def own_setting(name: str) -> Iterator[SettingsReader]:
    """Read a dict of Django's settings, which may be absent. Raises ConfigurationError with every mistake in it."""
    # Here and not above: `import event_stream` has to work before Django's settings do.
    from django.conf import settings  # noqa: PLC0415

    mistakes: list[SettingError] = []
    reader = root(name, getattr(settings, name, {}), mistakes)
    yield reader
    reader.finish()
    if mistakes:
        raise ConfigurationError("; ".join(map(str, mistakes)))


def _table(path: str, value: object, mistakes: list[SettingError]) -> SettingsReader:
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return SettingsReader(path, value, mistakes)
    mistakes.append(SettingError(path, f"is {value!r}; it should be a dict with strings as keys"))
    return SettingsReader(path, {}, mistakes, told=True)


HeaderFormat = Literal["spring", "plain", "cloudevents"]


@dataclass(frozen=True, slots=True)
class ProducerSettings:
    """What only concerns sending."""

    heartbeat: str | None = None
    """Dotted path of a function that makes the payload of a heartbeat; the outbox' relay sends it."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """The binder's own: see its documentation."""
    interceptors: tuple[str, ...] = ()
    """Dotted paths of functions that each message passes through before it is serialized: message in, message out."""
    fallback_message: str | None = None
    """Dotted path of a function that makes, of the payload of a message that can't be sent, that of a smaller one; the
    outbox' relay sends it in its place."""


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """What only concerns the worker. Times are in milliseconds."""

    batch_size: int = 500
    """The most records that one poll returns, over all partitions."""
    poll_timeout_ms: int = 500
    """How long a poll waits, and so how late a stop is noticed."""
    idle_interval_ms: int = 1000
    """How often a handler hears that nothing came."""
    retry_initial_ms: int = 200
    retry_max_ms: int = 10_000
    """A partition whose handler needs a server that is away waits between these two, doubling each time."""
    retry_attempts: int = 3
    """How often a sink tries a message that fails otherwise, waiting likewise, before it is given up."""
    retry_permanent: tuple[str, ...] = ()
    """Dotted paths of errors that a retry can't fix: their message is given up at once."""
    dead_letters: bool = False
    """Park what is given up on <destination>.<group>.dlq; else it is logged and passed over."""
    dead_letter_limit: int = 100
    """That many in a row may be parked; one more stops the worker."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """The binder's own: see its documentation."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One entry of EVENT_STREAM["bindings"], checked: ties a name that application code uses to a destination.

    `group` is None for a binding that only sends.
    """

    name: str
    destination: str
    binder: str
    content_type: str = "application/json"
    group: str | None = None
    header_format: HeaderFormat = "spring"
    journal: bool = False
    """Read as a whole and never by a group, as dead letters are: kept on any platform, whatever it does with others."""
    producer: ProducerSettings = field(default_factory=ProducerSettings)
    consumer: ConsumerSettings = field(default_factory=ConsumerSettings)

    @property
    def path(self) -> str:
        """Where it stands in the settings, as one would write it in Python: what a text about it begins with."""
        return f"{SETTING}['bindings'][{self.name!r}]"


def dead_letter_binding(binding: Binding) -> Binding:
    """Where the dead letters of a consuming binding go: <destination>.<group>.dlq, sent with its producer settings."""
    destination = f"{binding.destination}.{binding.group}.dlq"
    return dataclasses.replace(binding, name=f"{binding.name}.dlq", destination=destination, journal=True)


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
    single_server: bool = False
    """Whether a platform is one server on purpose, as on a developer's machine: the doctor does not warn of it."""

    def binding(self, name: str) -> Binding:
        try:
            return self.bindings[name]
        except KeyError:
            known = ", ".join(map(repr, sorted(self.bindings))) or "none"
            text = f"{SETTING}['bindings'] has no {name!r}; it has {known}"
            raise ConfigurationError(text) from None


def parse(value: object) -> tuple[Configuration, list[SettingError]]:
    """The setting as far as it can be read, and every mistake in it."""
    mistakes: list[SettingError] = []
    setting = root(SETTING, value, mistakes)
    if mistakes:
        return Configuration({}, {}), mistakes
    binders = {name: _binder(name, entry) for name, entry in setting.table("binders", required=True).tables().items()}
    default = _default_binder(setting, binders)
    bindings = {
        name: _binding(name, entry, binders, default)
        for name, entry in setting.table("bindings", required=True).tables().items()
    }
    single_server = setting.flag("single_server", default=False)
    setting.finish()
    return Configuration(binders, bindings, single_server), mistakes


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


def _binder(name: str, entry: SettingsReader) -> BinderSettings:
    return BinderSettings(name, entry.text("type", required=True), entry.rest())


def _default_binder(setting: SettingsReader, binders: Mapping[str, BinderSettings]) -> str | None:
    """None where there is none; "" where it is wrong, which no binding needs to repeat."""
    if "default_binder" not in setting.values:
        setting.known.add("default_binder")
        return next(iter(binders)) if len(binders) == 1 else None
    binder = setting.text("default_binder")
    if binder and binders and binder not in binders:
        setting.wrong("default_binder", f"is {binder!r}; it should be one of {_names(binders)}")
        return ""
    return binder


def _binding(name: str, entry: SettingsReader, binders: Mapping[str, BinderSettings], default: str | None) -> Binding:
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


def _producer(entry: SettingsReader) -> ProducerSettings:
    result = ProducerSettings(
        heartbeat=_dotted(entry, "heartbeat"),
        properties=entry.table("properties").rest(),
        interceptors=entry.texts("interceptors"),
        fallback_message=_dotted(entry, "fallback_message"),
    )
    entry.finish()
    return result


def _dotted(entry: SettingsReader, key: str) -> str | None:
    path = entry.text(key) or None
    if path and "." not in path:
        entry.wrong(key, f"is {path!r}; it should be the dotted path of a function")
    return path


def _consumer(entry: SettingsReader) -> ConsumerSettings:
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


def import_dotted(dotted: str, complaint: str, *, accepts: Callable[[Any], bool] = callable) -> Any:
    """Return what the dotted path of a setting leads to. Raises ConfigurationError, which says `complaint`.

    The only place where such a path is followed. `event_stream.checks` follows each of them at start.
    """
    try:
        found = import_string(dotted)
    except ImportError as error:
        raise ConfigurationError(f"{complaint} ({error})") from error
    if not accepts(found):
        raise ConfigurationError(complaint)
    return found


_PRODUCER_FUNCTIONS = {"heartbeat": "as_of_us", "fallback_message": "a payload"}


def producer_function(binding: Binding, key: Literal["heartbeat", "fallback_message"]) -> Callable[[Any], Any] | None:
    """Return the function that the binding's producer settings name. Raises ConfigurationError."""
    dotted: str | None = getattr(binding.producer, key)
    if dotted is None:
        return None
    should_be = f"it should be the dotted path of a function of {_PRODUCER_FUNCTIONS[key]}"
    function: Callable[[Any], Any] = import_dotted(
        dotted, f"{binding.path}['producer'][{key!r}] is {dotted!r}; {should_be}"
    )
    return function


def _names(binders: Mapping[str, BinderSettings]) -> str:
    return ", ".join(map(repr, sorted(binders)))


def _forget(*, setting: str, **_: object) -> None:
    if setting == SETTING:
        configuration.cache_clear()


setting_changed.connect(_forget, dispatch_uid="event_stream.conf")
