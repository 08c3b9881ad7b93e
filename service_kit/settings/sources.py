"""Where settings are read from, and what was read: the environment, and the file that CONFIG_FILE names.

The readers of `environment` read from here, and note here what they have read. A refresh (`refresh_scope`) has them
read from the file as it is by then.
"""

import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

from django.core.exceptions import ImproperlyConfigured
from dotenv.parser import parse_stream

P = ParamSpec("P")
T = TypeVar("T")

CONFIG_FILE = "CONFIG_FILE"
_FILE_SHOULD_BE = "the path of a file with lines of NAME=value"
# Read by libraries that know nothing of the file.
_OF_THE_ENVIRONMENT_ALONE = re.compile(rf"SSL_CERT_\w+|OTEL_\w+|PYTHON\w*|DJANGO_SETTINGS_MODULE|{CONFIG_FILE}")


@dataclass(frozen=True, slots=True)
class Reading:
    """What one setting was when it was read, and how to read it again."""

    name: str
    read: Callable[[], object]
    """The reader with its bounds. Raises ImproperlyConfigured."""
    value: object
    text: str | None = field(repr=False)
    """As it stands in the environment or in a file; None where it is not set."""
    should_be: str = ""
    default: object = ...
    """`...` where there is none, and the setting has to be there."""
    scope: str | None = None
    """The refresh scope that it belongs to; None for a setting that only a restart applies."""


@dataclass(slots=True)
class Snapshot:
    """What CONFIG_FILE held, and every setting that was read, by name."""

    path: str | None
    file: Mapping[str, str]
    readings: dict[str, Reading] = field(default_factory=dict)


@dataclass(slots=True)
class _Call:
    """Of the outermost reader: readers are made of others."""

    should_be: str = ""
    default: object = ...


_current: Snapshot | None = None
_candidate: ContextVar[Snapshot | None] = ContextVar("candidate", default=None)
_call: ContextVar[_Call | None] = ContextVar("call", default=None)
_scope: ContextVar[str | None] = ContextVar("scope", default=None)


def snapshot() -> Snapshot:
    """Return what readers read from, and add to. Raises ImproperlyConfigured where CONFIG_FILE can't be read."""
    global _current  # noqa: PLW0603 - one for each process
    if (candidate := _candidate.get()) is not None:
        return candidate
    path = os.environ.get(CONFIG_FILE)
    if _current is None or _current.path != path:
        _current = Snapshot(path, _file_values(path))
    return _current


def is_inherited() -> bool:
    """Return whether what CONFIG_FILE held was read by another process, from which this one was forked."""
    return _inherited and os.environ.get(CONFIG_FILE) is not None


_inherited = False


def _forget_readings() -> None:
    """A process that was forked has read nothing itself; what its parent took from CONFIG_FILE holds for it."""
    global _inherited  # noqa: PLW0603 - one for each process
    if _current is not None:
        _current.readings = {}
        _inherited = True


os.register_at_fork(after_in_child=_forget_readings)


def file_snapshot() -> Snapshot:
    """Return what the file holds by now, with nothing read yet. Raises ImproperlyConfigured."""
    path = os.environ.get(CONFIG_FILE)
    return Snapshot(path, _file_values(path))


@contextmanager
def reading_from(candidate: Snapshot) -> Iterator[None]:
    """Have the readers of this thread read from it, and note there what they have read."""
    token = _candidate.set(candidate)
    try:
        yield
    finally:
        _candidate.reset(token)


@contextmanager
def scope(within: str | None) -> Iterator[None]:
    """What is read in here belongs to a refresh scope; with None, only a restart applies it."""
    token = _scope.set(within)
    try:
        yield
    finally:
        _scope.reset(token)


def text_of(wanted: str) -> str | None:
    """Return the setting's text; None where it is not set. Raises ImproperlyConfigured for a file that is not there,
    and for a setting that is set twice."""
    check_place(wanted)
    try:
        return raw_text_of(wanted)
    except ValueError as error:
        raise ImproperlyConfigured(f"{wanted} should be a text. {error}") from None


def check_place(wanted: str) -> None:
    """Raises ImproperlyConfigured for a setting that is set twice."""
    for variable in (wanted, f"{wanted}_FILE"):
        if variable in os.environ and variable in snapshot().file:
            raise ImproperlyConfigured(
                f"{wanted} should be set in the environment, or in {CONFIG_FILE}, and not in both: only in the file "
                "it can be changed while processes run."
            )


def raw_text_of(wanted: str) -> str | None:
    """Return the setting's text; None where it is not set. Raises ValueError for a file that is not there."""
    file = snapshot().file
    file_variable = f"{wanted}_FILE"
    if secret := os.environ.get(file_variable) or file.get(file_variable):
        try:
            return Path(secret).read_text().strip()
        except OSError as error:
            raise ValueError(f"The value of {file_variable} must be a readable file path.") from error
    return os.environ.get(wanted, file.get(wanted))


def _file_values(path: str | None) -> Mapping[str, str]:
    if path is None:
        return {}
    values: dict[str, str] = {}
    try:
        with Path(path).open() as stream:
            bindings = list(parse_stream(stream))
    except (OSError, ValueError) as error:
        raise ImproperlyConfigured(f"{CONFIG_FILE} should be {_FILE_SHOULD_BE}. {error}") from None
    for binding in bindings:
        line = f"Line {binding.original.line}"
        if binding.error or (binding.key is not None and binding.value is None):
            raise ImproperlyConfigured(f"{CONFIG_FILE} should be {_FILE_SHOULD_BE}. {line} is none.")
        if binding.key is None or binding.value is None:
            continue
        if binding.key in values:
            raise ImproperlyConfigured(f"{binding.key} should be in {CONFIG_FILE} once. {line} has it again.")
        if _OF_THE_ENVIRONMENT_ALONE.fullmatch(binding.key):
            raise ImproperlyConfigured(
                f"{binding.key} should be set in the environment. What reads it does not look into {CONFIG_FILE}."
            )
        values[binding.key] = binding.value
    return values


def is_there(variable: str) -> bool:
    """Return whether this very variable is in the environment or in CONFIG_FILE."""
    return variable in os.environ or variable in snapshot().file


def recorded(reader: Callable[P, T]) -> Callable[P, T]:
    """Note in the snapshot what a reader has read, and how. Its first parameter is the setting's name."""

    @functools.wraps(reader)
    def read(*args: P.args, **options: P.kwargs) -> T:
        if _call.get() is not None:
            return reader(*args, **options)
        call = _Call()
        token = _call.set(call)
        try:
            value = reader(*args, **options)
        finally:
            _call.reset(token)
        name = str(args[0])
        snapshot().readings[name] = Reading(
            name,
            functools.partial(read, *args, **options),
            value,
            text_of(name),
            call.should_be,
            call.default,
            _scope.get(),
        )
        return value

    return read


def describe(should_be: str, default: object) -> None:
    """Say what the reader that is called wants."""
    if call := _call.get():
        call.should_be, call.default = should_be, default
