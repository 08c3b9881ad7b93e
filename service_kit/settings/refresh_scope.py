"""Spring Cloud's refresh scope: settings that a running process reads again, on SIGHUP or when a command asks for it.

    LOG_LEVEL = refreshable("LOG_LEVEL", log_level)      in Django's settings
    on_change("LOG_LEVEL", set_level)                    in AppConfig.ready, for what is not read at each use

A process takes all that is new in a scope, or, where one value is wrong, nothing. What only a restart applies keeps its
value, and is named.
"""

import hashlib
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from service_kit.logging import redacted
from service_kit.settings import sources
from service_kit.settings.sources import Reading, Snapshot

logger = logging.getLogger("service_kit.configuration")

T = TypeVar("T")


@dataclass(slots=True)
class _Scope:
    name: str
    read: Callable[[], Any]
    value: Any


@dataclass(frozen=True, slots=True)
class ConfigurationState:
    """Which version of the configuration this process runs."""

    version: str
    """A digest of the values of all refreshable settings: equal where they are."""
    read_at: datetime
    """When these values were read, or last found unchanged."""
    needs_restart: tuple[str, ...] = ()
    """Settings with another value by now, which this process will have after a restart."""
    error: str = ""
    """Why the last refresh changed nothing; "" where there was nothing wrong."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON can say it."""
        return {
            "version": self.version,
            "readAt": self.read_at.isoformat(timespec="milliseconds"),
            "needsRestart": list(self.needs_restart),
            "error": redacted(self.error),
        }


_lock = threading.RLock()
_scopes: dict[str, _Scope] = {}
_callbacks: dict[str, Callable[[Any], None]] = {}
_state: ConfigurationState | None = None
_started_at = datetime.now(UTC)


def _begin_anew() -> None:
    """A process that was forked reads settings of its own."""
    global _state, _started_at
    _scopes.clear()
    _state, _started_at = None, datetime.now(UTC)
    _lock.release()


os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_begin_anew)


def refreshable(name: str, read: Callable[[], T]) -> T:
    """Return what `read` reads, and have a refresh call it again.

    `name` is the one in Django's settings, which a refresh sets. `read` calls readers of
    `service_kit.settings.environment`, and raises ImproperlyConfigured; it may be called in any thread.
    """
    with sources.scope(name):
        value = read()
    with _lock:
        _scopes[name] = _Scope(name, read, value)
    return value


def value_of(name: str) -> Any:
    """Return the latest value of a scope."""
    return _scopes[name].value


def on_change(name: str, callback: Callable[[Any], None]) -> None:
    """Call it with each new value, in the thread that refreshes. It must not raise. A later one takes its place."""
    _callbacks[name] = callback


def state() -> ConfigurationState:
    """Return this process's; not from within its settings, which are not complete there."""
    global _state  # noqa: PLW0603 - one for each process
    with _lock:
        if _state is None:
            _state = ConfigurationState(_version(sources.snapshot()), _started_at)
        return _state


def refresh(trigger: str) -> ConfigurationState:
    """Read every setting again, apply what is refreshable, and log what became of it. Any thread may call it."""
    global _state  # noqa: PLW0603 - one for each process
    with _lock:
        current = sources.snapshot()
        try:
            candidate, values, needs_restart = _read_again(current)
        except ImproperlyConfigured as error:
            logger.error("configuration.refused", extra={"trigger": trigger, "error": str(error)})  # noqa: TRY400
            _state = replace(state(), error=str(error))
            return _state
        changes = {
            reading.name: f"{_shown(before.value)} -> {_shown(reading.value)}"
            for reading in candidate.readings.values()
            if (before := current.readings.get(reading.name)) is not None and before.value != reading.value
        }
        current.file = _file_for_refreshed(current, candidate)
        current.readings.update(candidate.readings)
        _apply(values)
        known = () if _state is None else _state.needs_restart
        _state = ConfigurationState(_version(current), datetime.now(UTC), needs_restart)
        extra = {"trigger": trigger, "configuration": _state.version, "changes": changes}
        logger.log(logging.INFO if changes else logging.DEBUG, "configuration.refreshed", extra=extra)
        if needs_restart and needs_restart != known:
            logger.warning(
                "configuration.needs_restart",
                extra={"settings": needs_restart, "error": f"{', '.join(needs_restart)} changed; restart to apply"},
            )
        return _state


def _read_again(current: Snapshot) -> tuple[Snapshot, dict[str, Any], tuple[str, ...]]:
    """Return what is there now, the new values by scope, and what only a restart applies.

    Raises ImproperlyConfigured with everything that is wrong.
    """
    candidate = sources.file_snapshot()
    errors: list[str] = []
    needs_restart: list[str] = []
    with sources.reading_from(candidate):
        for reading in current.readings.values():
            try:
                text = sources.text_of(reading.name)
                if reading.scope is not None:
                    reading.read()
                elif text != reading.text:
                    needs_restart.append(reading.name)
                    if text is not None:
                        reading.read()
            except ImproperlyConfigured as error:
                errors.append(str(error))
    if errors:
        raise ImproperlyConfigured(" ".join(dict.fromkeys(errors)))
    candidate = replace(candidate, file=_held_back(current, candidate, needs_restart), readings={})
    values = {}
    with sources.reading_from(candidate):
        for scope in _scopes.values():
            with sources.scope(scope.name):
                # Its values fit together, or this says what does not.
                values[scope.name] = scope.read()
    candidate.readings = {name: reading for name, reading in candidate.readings.items() if reading.scope is not None}
    return candidate, values, tuple(sorted(needs_restart))


def _held_back(current: Snapshot, candidate: Snapshot, names: list[str]) -> dict[str, str]:
    """The new file, in which these settings are as they were."""
    variables = {variable for name in names for variable in (name, f"{name}_FILE")}
    kept = {variable: text for variable, text in current.file.items() if variable in variables}
    return {variable: text for variable, text in candidate.file.items() if variable not in variables} | kept


def _file_for_refreshed(current: Snapshot, candidate: Snapshot) -> dict[str, str]:
    """The old file, in which only the refreshed settings are new: a process that is forked reads the others from it."""
    refreshed = {variable for name in candidate.readings for variable in (name, f"{name}_FILE")}
    kept = {variable: text for variable, text in current.file.items() if variable not in refreshed}
    return kept | {variable: text for variable, text in candidate.file.items() if variable in refreshed}


def _apply(values: dict[str, Any]) -> None:
    for scope in _scopes.values():
        value = values[scope.name]
        if value == scope.value:
            continue
        scope.value = value
        # gunicorn's master has none of Django's.
        if settings.configured:
            setattr(settings, scope.name, value)
        if callback := _callbacks.get(scope.name):
            callback(value)


def _version(snapshot: Snapshot) -> str:
    refreshed: list[Reading] = [reading for reading in snapshot.readings.values() if reading.scope is not None]
    values = sorted((reading.name, _shown(reading.value)) for reading in refreshed)
    return hashlib.sha256(repr(values).encode()).hexdigest()[:8]


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def refresh_on_hangup() -> None:
    """Have SIGHUP refresh this process, on a thread for it alone, as what a signal interrupts may hold any lock.

    Not in the foreground of a terminal, which sends SIGHUP when it is closed.
    """
    if threading.current_thread() is not threading.main_thread() or _has_terminal():
        return
    hangups: queue.SimpleQueue[None] = queue.SimpleQueue()

    def refresh_each() -> None:
        while True:
            hangups.get()
            refresh("SIGHUP")

    threading.Thread(target=refresh_each, name="configuration", daemon=True).start()
    signal.signal(signal.SIGHUP, lambda _number, _frame: hangups.put(None))


def _has_terminal() -> bool:
    with suppress(OSError, ValueError, AttributeError):
        return sys.stdin.isatty()
    return False
